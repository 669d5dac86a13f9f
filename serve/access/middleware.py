"""What a request goes through before an endpoint has it: from where, by whom and how often."""

from __future__ import annotations

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from configs.settings import ServeSettings, resolve
from serve.access.authentication import Access
from serve.access.headers import SecurityHeaders
from serve.access.keys import KeyRing
from serve.access.ratelimit import RateLimit


def access(serve: ServeSettings) -> list[Middleware]:
    """The middleware, the outermost first. It reads nothing of a body."""
    keys = KeyRing(resolve(serve.keys_file) if serve.keys_file else None)
    cors = Middleware(
        CORSMiddleware,  # before the keys: a browser asks without one whether it may send one
        allow_origins=serve.cors_origins,
        allow_methods=["GET", "POST"],
        allow_headers=["Authorization", "X-API-Key", "Content-Type", "Accept-Language"],
        expose_headers=["Retry-After"],
    )
    return [
        Middleware(SecurityHeaders),
        *([cors] if serve.cors_origins else []),
        Middleware(Access, serve=serve, keys=keys),
        *([Middleware(RateLimit, per_minute=serve.requests_per_minute)] if serve.requests_per_minute else []),
    ]
