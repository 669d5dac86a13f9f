"""`policy-topics serve`: the BentoML server in the foreground, with these settings."""

from __future__ import annotations

import ipaddress
import os
import socket
from pathlib import Path
from typing import NoReturn

from pydantic_core import to_json

from configs.settings import ENV_FILE, ENV_PREFIX, HOME, Settings, SettingsError, resolve, resolve_database
from configs.tracking import switch_off_tracking
from policy_topics.bundle import load_bundle
from policy_topics.registry import served_bundle
from serve.access.keys import check_keys
from serve.observation.traces import check_tracing
from serve.supervisor import supervise


def run(settings: Settings) -> NoReturn:
    """Become the BentoML server, in this process: what it has imported is not imported again. Ends it.

    Raises:
        BundleError, RegistryError: no bundle can be served; found here and not in the log of a server that never gets
            ready.
        KeysError: API keys are asked for, and there is none; or the file of them cannot be read.
        SettingsError: nobody can listen on `serve.host` and `serve.port`, or traces are wanted and cannot be sent.
    """
    load_bundle(served_bundle(settings))
    check_tracing(settings.serve)
    host, port = _address(settings.serve.host), settings.serve.port
    _check_free(host, port)
    check_keys(settings.serve)
    variables = environment(settings)
    os.environ.clear()
    os.environ.update(variables)
    supervise(["serve.service:PolicyTopics", "--working-dir", str(HOME), "--host", host, "--port", str(port)])


def environment(settings: Settings) -> dict[str, str]:
    """This process's environment, with the settings of the service as variables: the worker reads those, wherever a
    setting came from (a file, a flag), and from any working directory."""
    switch_off_tracking()
    inherited = {name: value for name, value in os.environ.items() if name != ENV_FILE}
    ours = {
        f"{ENV_PREFIX}BUNDLE": str(resolve(settings.bundle).absolute()) if settings.bundle else "null",
        f"{ENV_PREFIX}REGISTRY": str(resolve(settings.registry).absolute()) if settings.registry else "null",
    }
    for section in ("engine", "serve", "feedback"):
        for key, value in getattr(settings, section).model_dump().items():
            ours[f"{ENV_PREFIX}{section}__{key}".upper()] = _text(value)
    ours[f"{ENV_PREFIX}FEEDBACK__URL"] = resolve_database(settings.feedback.url)
    return {**inherited, **ours}


def _text(value: object) -> str:
    """A setting as a variable of the environment holds it."""
    if isinstance(value, Path):
        return str(resolve(value).absolute())
    return value if isinstance(value, str) else to_json(value).decode()


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
