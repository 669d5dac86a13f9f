"""How often one client may ask: a token bucket each, for the holder of a key, or an address where no key is asked for.

A bucket holds the requests of one minute and fills evenly. It is kept as the moment at which it will be full again,
which says the same (the generic cell rate algorithm of ITU-T I.371); one that is full is as good as none and is
forgotten, so memory is bounded by the clients of the last minute.
"""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from serve.access.addresses import network_address
from serve.access.authentication import is_open
from serve.problems import Problem

MOST_CLIENTS = 100_000
"""Buckets that are kept, about 20 MB; over that, the one that was used longest ago is forgotten."""

_MINUTE = 60.0
_NETWORK_BITS = 64
"""Bits of an IPv6 address that name a network (RFC 4291); a client chooses the others as it likes."""


class Buckets:
    """The buckets of all clients, by any name."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = _MINUTE / per_minute
        self._clock = clock
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, client: str) -> float:
        """Take one request from a client's bucket: 0, or the seconds until there is one in it."""
        now = self._clock()
        full_at = max(self._full_at.get(client, now), now) + self._interval
        wait = full_at - now - _MINUTE
        # Sums of intervals are not exact: a billionth of a second is no reason to refuse the last request of a bucket.
        if wait > 1e-9 * _MINUTE:
            return wait
        self._full_at[client] = full_at
        self._full_at.move_to_end(client)
        self._forget(now)
        return 0.0

    def _forget(self, now: float) -> None:
        """Those in the front were used longest ago, so whatever is full comes to the front within a minute."""
        while len(self._full_at) > MOST_CLIENTS or next(iter(self._full_at.values())) <= now:
            self._full_at.popitem(last=False)


class RateLimit:
    """ASGI middleware that answers 429 to who asks too often. It stands behind `Access`, which knows the key's name."""

    def __init__(self, app: ASGIApp, per_minute: int) -> None:
        self._app = app
        self._per_minute = per_minute
        self._buckets = Buckets(per_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not is_open(scope["path"]):
            wait = self._buckets.take(_client(scope))
            if wait:
                return await self._too_often(wait).response()(scope, receive, send)
        await self._app(scope, receive, send)

    def _too_often(self, wait: float) -> Problem:
        most = self._per_minute
        return Problem(
            "rate_limited",
            f"More than {most} requests in a minute (serve.requests_per_minute); send the request again after "
            "`Retry-After`, and many texts in one request.",
            f"每分钟请求超过 {most} 次（serve.requests_per_minute），请按 Retry-After 稍后重试；多段文本可一次发送。",
            headers={"Retry-After": str(math.ceil(wait))},
        )


def _client(scope: Scope) -> str:
    """The name of the key in use, or the network address that a client cannot leave by itself."""
    name = scope["state"]["key_name"]
    if name is not None:
        return f"key {name}"
    address: str = scope["client"][0] if scope.get("client") else ""
    known = network_address(address)
    if known is None:
        return address
    return str(known if known.version == 4 else ipaddress.ip_network((known.packed, _NETWORK_BITS), strict=False))
