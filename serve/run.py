"""`policy-topics serve`: the BentoML server in the foreground, with these settings."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from typing import NoReturn

from configs.settings import ENV_FILE, ENV_PREFIX, HOME, Settings, SettingsError, resolve
from configs.tracking import switch_off_tracking
from policy_topics.bundle import load_bundle
from policy_topics.registry import served_bundle


def run(settings: Settings) -> NoReturn:
    """Become the BentoML server. Never returns: this process is replaced, so that Ctrl-C and signals reach the server.

    Raises:
        BundleError, RegistryError: no bundle can be served; found here and not in the log of a server that never gets
            ready.
        SettingsError: nobody can listen on `serve.host` and `serve.port`.
    """
    load_bundle(served_bundle(settings))
    host, port = _address(settings.serve.host), settings.serve.port
    _check_free(host, port)
    # fmt: off
    command = [
        sys.executable, "-m", "bentoml", "serve", "serve.service:PolicyTopics",
        "--working-dir", str(HOME), "--host", host, "--port", str(port),
    ]
    # fmt: on
    sys.stdout.flush()
    os.execve(sys.executable, command, environment(settings))


def environment(settings: Settings) -> dict[str, str]:
    """This process's environment, with the settings of the service as variables: the worker reads those, wherever a
    setting came from (a file, a flag), and from any working directory."""
    switch_off_tracking()
    inherited = {name: value for name, value in os.environ.items() if name != ENV_FILE}
    ours = {
        f"{ENV_PREFIX}BUNDLE": str(resolve(settings.bundle).absolute()),
        f"{ENV_PREFIX}REGISTRY": str(resolve(settings.registry).absolute()) if settings.registry else "null",
    }
    for section in ("engine", "serve"):
        for key, value in getattr(settings, section).model_dump().items():
            ours[f"{ENV_PREFIX}{section}__{key}".upper()] = str(value)
    return {**inherited, **ours}


def _address(host: str) -> str:
    """The IP address of a host name; BentoML takes addresses only."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return socket.gethostbyname(host)
    except OSError as fault:
        raise SettingsError(f"serve.host: {host} is no address of this machine: {fault.strerror}") from None


def _check_free(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as fault:
            raise SettingsError(
                f"cannot listen on {host}:{port}: {fault.strerror}; choose another with serve.host and serve.port"
            ) from None
