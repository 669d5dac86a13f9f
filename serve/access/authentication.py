"""Who is let in: clients with an API key, where keys are asked for."""

from __future__ import annotations

from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from configs.settings import ServeSettings
from serve.access.addresses import network_address
from serve.access.headers import is_page
from serve.access.keys import KeyRing, asks_everyone
from serve.problems import Problem

OPEN = frozenset({"/docs.json", "/livez", "/readyz", "/metrics"})
"""Paths beside the page that need no key: how to use the service, and what those machines ask that look after it."""


def is_open(path: str) -> bool:
    """Whether everyone may ask for a path, and as often as they like."""
    return path in OPEN or is_page(path)


class Access:
    """ASGI middleware that answers 401 to who has no valid key, before anything of the body is read.

    `request.state.key_name` is the name of the key, or None where none was asked for.
    """

    def __init__(self, app: ASGIApp, serve: ServeSettings, keys: KeyRing) -> None:
        self._app = app
        self._keys = keys
        self._everyone = asks_everyone(serve)
        self._others = serve.keys == "auto"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        name = None
        if self._asks(scope):
            names = [self._keys.holder(key) for key in _given(Headers(scope=scope))]  # both, so that it takes one time
            name = next((each for each in names if each is not None), None)
            if name is None:
                return await unauthorized().response()(scope, receive, send)
        state: dict[str, Any] = scope.setdefault("state", {})
        state["key_name"] = name
        await self._app(scope, receive, send)

    def _asks(self, scope: Scope) -> bool:
        return not is_open(scope["path"]) and (self._everyone or (self._others and _is_elsewhere(scope)))


def unauthorized() -> Problem:
    """The 401. It does not tell a missing key from a wrong or an expired one."""
    return Problem(
        "unauthorized",
        "A valid API key is needed, as `Authorization: Bearer KEY` or `X-API-Key: KEY`; ask whoever runs this service.",
        "需要有效的 API 密钥：请在 Authorization: Bearer KEY 或 X-API-Key: KEY 中给出；密钥向服务管理员索取。",
        headers={"WWW-Authenticate": "Bearer"},
    )


def _given(headers: Headers) -> tuple[str, str]:
    """What the two headers have, "" for none: a proxy may use the first one for a token of its own."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else "", headers.get("x-api-key", "")


def _is_elsewhere(scope: Scope) -> bool:
    """Whether the client is on another machine. The server has put the address there that a proxy on this machine
    gives in X-Forwarded-For, whatever that is: what is no address counts as elsewhere. BentoML may listen where
    `serve.host` does not say, as it does in a container."""
    client = scope.get("client")
    if client is None:  # no network
        return False
    address = network_address(client[0])
    return address is None or not address.is_loopback
