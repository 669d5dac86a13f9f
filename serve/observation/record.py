"""What is noted of one request while it is answered, and who is told of it at its end: metrics, log, traces.

No text is ever noted, nor a path that is not ours, which may hold one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from http import HTTPStatus
from typing import Literal

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.access.headers import PAGE_FILES

Stage = Literal["read", "segment", "tokenise", "wait", "run", "decode"]

QUIET = frozenset({"/livez", "/readyz", "/metrics"})
"""Paths that are asked for all the time and say nothing of the service's users."""

OTHER = "other"
"""Stands for all paths that do not exist: each by its name would be kept for good for every address a scanner tries."""


class Record:
    """One request.

    Attributes:
        path: one of the service's own, `PAGE_FILES` for all of those, or `OTHER`.
        traceparent: header of the client's (W3C Trace Context); "" if it sent none.
        began: of its arrival, nanoseconds since 1970.
        status: of the answer.
        code: of the problem that was answered; None if there was none.
        key: name of the API key that it came with, if any.
        paragraphs: that were read.
        tokens: of them.
        trace_id: 32 hex digits, if it is part of a trace.
        seconds: from its arrival to its answer.
    """

    def __init__(self, method: str, path: str, traceparent: str) -> None:
        self.method, self.path, self.traceparent = method, path, traceparent
        self.began, self._start = time.time_ns(), time.perf_counter()
        self.status = int(HTTPStatus.INTERNAL_SERVER_ERROR)  # what Starlette answers outside of all middleware
        self.code: str | None = None
        self.key: str | None = None
        self.paragraphs = self.tokens = 0
        self.trace_id: str | None = None
        self.seconds = 0.0
        self._entered: list[tuple[Stage, float]] = []

    def enter(self, stage: Stage) -> None:
        """A stage begins, and the one before it ends."""
        self._entered.append((stage, time.perf_counter() - self._start))

    def close(self) -> None:
        """The answer has gone out, and the last stage ends."""
        self.seconds = time.perf_counter() - self._start

    def stages(self) -> Iterator[tuple[Stage, float, float]]:
        """Each stage with the seconds from the request's arrival to its beginning and to its end."""
        ends = [*(start for _, start in self._entered), self.seconds][1:]
        return ((stage, start, end) for (stage, start), end in zip(self._entered, ends, strict=False))


Sink = Callable[[Record], None]


class Recording:
    """ASGI middleware that keeps a `Record` of each request, in its state, and hands it on at its end.

    It is the outermost, so that a request that is refused is recorded, too.
    """

    def __init__(self, app: ASGIApp, paths: Collection[str], sinks: Sequence[Sink]) -> None:
        self._app = app
        self._paths = frozenset(paths)
        self._sinks = sinks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in QUIET:
            return await self._app(scope, receive, send)
        record = Record(scope["method"], self._named(scope["path"]), Headers(scope=scope).get("traceparent", ""))
        state = scope.setdefault("state", {})
        state["record"] = record

        async def noted(message: Message) -> None:
            record.status = message.get("status", record.status)
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Exception:
            record.code = "internal"
            raise
        finally:
            record.close()
            record.key = state.get("key_name")
            for sink in self._sinks:
                sink(record)

    def _named(self, path: str) -> str:
        if path in self._paths:
            return path
        return PAGE_FILES if path.startswith(PAGE_FILES) else OTHER


def record_of(scope: Scope) -> Record | None:
    """The record of a request, unless its path is `QUIET`."""
    record: Record | None = scope.get("state", {}).get("record")
    return record
