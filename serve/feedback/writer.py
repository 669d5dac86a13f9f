"""The one thread of this process that writes corrections: all that wait go into one transaction together.

A commit costs the disk some milliseconds however much is in it. Two hundred clients who each waited for a commit of
their own would wait for seconds, or be told that the database is locked.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from policy_topics.errors import FeedbackError
from policy_topics.feedback.corrections import Correction

if TYPE_CHECKING:
    from policy_topics.feedback.store import Added, Store

log = logging.getLogger("policy_topics.serve")

_CLOSE_SECONDS = 20


class Full(Exception):
    """Too much waits; nothing of this was taken."""


@dataclass(frozen=True, slots=True)
class _Sent:
    corrections: Sequence[Correction]
    done: asyncio.Future[Added]
    loop: asyncio.AbstractEventLoop


class Writer:
    """Stores corrections. Its methods are for the event loop.

    Args:
        store: gives the store; called in the thread.
        most: corrections that may wait.
    """

    def __init__(self, store: Callable[[], Store], most: int) -> None:
        self._store = store
        self._most = most
        self._waiting = 0
        self._queue: queue.SimpleQueue[_Sent | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    async def add(self, corrections: Sequence[Correction]) -> Added:
        """Returns once they are stored for good. Who stops waiting does not know whether they are.

        Raises:
            Full: as many as may wait do; a sending that finds nothing waiting is taken, whatever its size.
            FeedbackError: the store cannot be used.
        """
        if self._waiting and self._waiting + len(corrections) > self._most:
            raise Full
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="corrections", daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        sent = _Sent(corrections, loop.create_future(), loop)
        self._waiting += len(corrections)
        self._queue.put(sent)
        return await sent.done

    async def close(self) -> None:
        """Store what waits, and end the thread."""
        if self._thread:
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join, _CLOSE_SECONDS)

    def _work(self) -> None:
        while (first := self._queue.get()) is not None:
            together, last = self._with_all_that_wait(first)
            self._add(together)
            if last:
                return

    def _with_all_that_wait(self, first: _Sent) -> tuple[list[_Sent], bool]:
        """What waits now, and whether nothing comes behind it."""
        together = [first]
        while True:
            try:
                sent = self._queue.get_nowait()
            except queue.Empty:
                return together, False
            if sent is None:
                return together, True
            together.append(sent)

    def _add(self, together: Sequence[_Sent]) -> None:
        try:
            results: Sequence[Added | Exception] = self._store().add([sent.corrections for sent in together])
        except Exception as fault:
            if isinstance(fault, FeedbackError):
                log.error("%d corrections were not stored: %s", sum(len(s.corrections) for s in together), fault)
            else:
                log.exception("corrections were not stored")
            results = [fault] * len(together)
        for sent, result in zip(together, results, strict=True):
            sent.loop.call_soon_threadsafe(self._answer, sent, result)

    def _answer(self, sent: _Sent, result: Added | Exception) -> None:
        self._waiting -= len(sent.corrections)
        if sent.done.done():  # its client has left
            return
        if isinstance(result, Exception):
            sent.done.set_exception(result)
        else:
            sent.done.set_result(result)
