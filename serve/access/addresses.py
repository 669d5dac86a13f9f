"""Network addresses of clients, as the server or a proxy in front of it gives them."""

from __future__ import annotations

import ipaddress


def network_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a text is, None if it is none, such as the `unknown` of a proxy.

    A listener for both protocols sees an IPv4 client as `::ffff:203.0.113.9`: that is 203.0.113.9.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped if address.version == 6 else None) or address
