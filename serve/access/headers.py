"""Security headers, on every answer."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
)
"""What the page may load: its own files. No script that text in an answer brings along is run."""

POLICY = "default-src 'none'; frame-ancestors 'none'"
"""All other answers are data."""

PAGE_FILES = "/page/"
"""Beginning of the paths of the page's own files."""

HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}


class SecurityHeaders:
    """ASGI middleware that adds them to what the app answers.

    Nothing but the page may be kept in a cache: answers hold users' texts, and what is open changes with the model.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                add_headers(MutableHeaders(scope=message), scope["path"])
            await send(message)

        await self._app(scope, receive, with_headers)


def is_page(path: str) -> bool:
    """Whether the page is at a path, or one of its files: the same for everyone, and nothing of a user's."""
    return path == "/" or path.startswith(PAGE_FILES)


def add_headers(headers: MutableHeaders, path: str) -> None:
    """Add those that the answer at a path should have."""
    page = is_page(path)
    headers.update(HEADERS)
    headers["Content-Security-Policy"] = PAGE_POLICY if page else POLICY
    headers.setdefault("Cache-Control", "no-cache" if page else "no-store")
