"""What one request may take: bytes, seconds, and no more once its client has left."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from typing import Self, TypeVar

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.problems import Problem, out_of_time

T = TypeVar("T")


class Limits:
    """ASGI middleware that bounds the body of a request, while it is read, and the time until it is answered.

    The time is ours and not BentoML's `traffic.timeout`, which answers in a form of its own.
    """

    def __init__(self, app: ASGIApp, max_body_bytes: int, timeout_seconds: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._timeout_seconds = timeout_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared) > self._max_body_bytes:
            return await self._too_large().response()(scope, receive, send)
        await self._answer_in_time(scope, self._bounded(receive), send)

    async def _answer_in_time(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        async with _Deadline(self._timeout_seconds) as deadline:
            await self._app(scope, receive, noted)
        if deadline.passed and not started:
            await out_of_time(self._timeout_seconds).response()(scope, receive, send)

    def _bounded(self, receive: Receive) -> Receive:
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_body_bytes:
                raise self._too_large()
            return message

        return counted

    def _too_large(self) -> Problem:
        most = self._max_body_bytes
        return Problem(
            "too_large",
            f"The body is larger than {most} bytes (serve.max_body_bytes); send it in parts.",
            f"请求体超过 {most} 字节（serve.max_body_bytes），请分批发送。",
            headers={"Connection": "close"},
        )


class _Deadline:
    """Cancels what it surrounds after some seconds, and says so in `passed`.

    `asyncio.timeout` does this too, but its timer stays in the event loop's queue until its time, with the context it
    was made in and so with the request; this one has no context.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.passed = False

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._pass, context=Context())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        self._timer.cancel()
        # Another cancellation may have come beside ours: that one goes on.
        return self.passed and self._task.uncancel() == 0 and kind is asyncio.CancelledError

    def _pass(self) -> None:
        self.passed = True
        self._task.cancel()


async def while_connected(request: Request, work: Coroutine[None, None, T]) -> T:
    """The result of `work`, which is cancelled as soon as the client leaves. The body must have been read.

    Raises:
        ClientDisconnect: the client has left.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
