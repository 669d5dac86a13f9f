"""SIGTERM: from then on no new work is taken, what was taken is finished, and only then the server ends.

uvicorn by itself finishes what it took, too, but takes no connections meanwhile; BentoML's supervisor holds the socket,
so that clients and probes would hang where they should hear 503 and go elsewhere. It takes `serve.timeout_seconds` at
most: by then each request has its answer.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import FrameType

log = logging.getLogger("policy_topics.serve")


@asynccontextmanager
async def gentle_end(drain: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Inside, the first SIGTERM has `drain` run, and then does what it did before. A second one does that at once."""
    if threading.current_thread() is not threading.main_thread():  # only there signals arrive; tests run apps elsewhere
        yield
        return
    loop = asyncio.get_running_loop()
    before = signal.getsignal(signal.SIGTERM)
    ending: list[asyncio.Task[None]] = []

    def terminated(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, before)
        loop.call_soon_threadsafe(lambda: ending.append(loop.create_task(end())))

    async def end() -> None:
        log.info("ending: no new requests are taken, those under way are finished")
        await drain()
        signal.raise_signal(signal.SIGTERM)

    signal.signal(signal.SIGTERM, terminated)
    try:
        yield
    finally:
        for task in ending:  # where the server ended without waiting for it
            task.cancel()
        if signal.getsignal(signal.SIGTERM) is terminated:
            signal.signal(signal.SIGTERM, before)
