"""The micro-batcher: windows of many requests, run together in batches of like length.

BentoML has batching of its own (`batchable=True`), and it does not fit here: it counts items and not tokens, so one
long paragraph pads every short one; one exception fails every request in the batch; and over its latency target it
sheds load with 503. This one is a queue inside the process, in front of one engine thread (the engine uses all cores).

It never waits for company: while a batch runs, the next one gathers by itself. With 8 clients, a wait of 2 ms before
each batch made batches of 3.0 texts instead of 2.4 and saved the engine no time (6.3 ms a text instead of 6.4).
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from policy_topics.classifier import split_by_text
from policy_topics.engine import Logits, most_rows, padded, rounded
from policy_topics.tokeniser import Tokenised, Window

Run = Callable[[Sequence[Window]], Logits]

SHARE = 8
"""A request fills at most this part of the queue, whatever its size: a long document alone neither is refused nor
keeps others out."""

NEXT = 24
"""A batch takes from the requests of the next so many turns alone. More would fill it better, and let texts of a common
length overtake those of a rare one again and again: the slowest answers would take much longer than most."""

RECENT = 0.9
"""Weight of the batches so far beside the next one in the engine's speed: about the last ten behind which others waited
count."""


class Busy(Exception):
    """The queue is full; nothing of the request was taken."""


@dataclass(eq=False, slots=True)
class _Request:
    windows: list[Window]
    logits: Logits
    done: asyncio.Future[None]
    started: Callable[[], object]
    """Called when the engine is given the first window."""
    waiting: list[tuple[int, int]] = field(init=False)
    """(tokens, index) of the windows not yet given to the engine, shortest first."""
    waiting_tokens: int = field(init=False)
    counted_tokens: int = 0
    """Of those, what the batcher has in its sums."""
    unfinished: int = field(init=False)

    def __post_init__(self) -> None:
        self.waiting = sorted((len(window), index) for index, window in enumerate(self.windows))
        self.waiting_tokens = sum(tokens for tokens, _ in self.waiting)
        self.unfinished = len(self.windows)

    def near(self, tokens: int, count: int) -> list[tuple[int, int]]:
        """The waiting windows nearest to that length, so many at most to either side: (tokens, index) each."""
        place = bisect_left(self.waiting, (tokens, 0))
        return self.waiting[max(0, place - count) : place + count]

    def take(self, window: tuple[int, int]) -> int:
        """Index of a waiting window, which waits no longer."""
        if len(self.waiting) == len(self.windows):
            self.started()
        del self.waiting[bisect_left(self.waiting, window)]
        self.waiting_tokens -= window[0]
        return window[1]

    def give(self, index: int, logits: Logits) -> None:
        self.logits[index] = logits
        self.unfinished -= 1
        if not self.unfinished and not self.done.done():
            self.done.set_result(None)

    def fail(self, fault: Exception) -> None:
        self.drop()
        if not self.done.done():
            self.done.set_exception(fault)

    def drop(self) -> None:
        self.waiting.clear()
        self.waiting_tokens = 0


class Batcher:
    """Runs the windows of all requests through `run`, one batch at a time.

    Requests lead a batch in turn, so a request of one paragraph waits for at most one batch of each other request,
    however long those are. The leader's longest window sets the length; it and those whose turn comes soon then add
    the windows nearest to that, until the batch is full. What cannot be in this batch waits for its own request's turn.

    Args:
        run: windows in, logits out; called in a thread of its own, never twice at once.
        topics: width of the logits.
        batch_tokens: most tokens in a batch, padding included; a longer window runs alone.
        queue_tokens: tokens that may wait, of one request at most a `SHARE` counted.
        queue_seconds: what the engine would take longer for, as fast as it has been of late, may not wait either, but
            for two requests.
    """

    def __init__(self, run: Run, topics: int, batch_tokens: int, queue_tokens: int, queue_seconds: float) -> None:
        self._run = run
        self._topics = topics
        self._batch_tokens = batch_tokens
        self._queue_tokens = queue_tokens
        self._queue_seconds = queue_seconds
        self._share = max(1, queue_tokens // SHARE)
        self._turns: deque[_Request] = deque()
        self._waiting_tokens = 0
        self._taken_tokens = 0  # of the queue: of those that wait, at most a share of each request
        self._recent_tokens = 0.0
        self._recent_seconds = 0.0
        self._worker: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="engine")

    @property
    def waiting_tokens(self) -> int:
        """Tokens that wait for the engine, padding not included."""
        return self._waiting_tokens

    @property
    def waiting_seconds(self) -> float:
        """What the engine takes for them, as fast as it has been of late; 0 as long as nothing had to wait."""
        if not self._recent_tokens:
            return 0.0
        return self._waiting_tokens * self._recent_seconds / self._recent_tokens

    def check(self) -> None:
        """Raise `Busy` unless there is room for a request of any size: before it is read, for that is work, too."""
        self._check(self._share)

    async def submit(
        self, paragraphs: Sequence[Tokenised], started: Callable[[], object] = lambda: None
    ) -> list[Logits]:
        """Logits (windows, topics) of each paragraph; one without windows gets none. Cancelling drops what waits.

        `started` is called when the wait is over, and the engine is given the first window.

        Raises:
            Busy: the queue is full.
            Exception: what the engine raised for a window of this request.
        """
        windows = [window for paragraph in paragraphs for window in paragraph.windows]
        logits = np.empty((len(windows), self._topics), np.float32)
        if windows:
            await self._queue(_Request(windows, logits, asyncio.get_running_loop().create_future(), started))
        return split_by_text(logits, paragraphs)

    async def close(self) -> None:
        """Give up what waits and let the engine thread end."""
        if self._worker:
            self._worker.cancel()
        for request in self._turns:
            request.done.cancel()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _queue(self, request: _Request) -> None:
        self._check(request.waiting_tokens)
        self._turns.append(request)
        self._count(request)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        try:
            await request.done
        finally:
            request.drop()
            self._count(request)

    def _check(self, tokens: int) -> None:
        if self._taken_tokens + min(tokens, self._share) > self._room():
            raise Busy

    def _room(self) -> float:
        """Tokens that may wait now. Where the engine is slow there is still room for two requests of any size."""
        if not self._recent_tokens:
            return self._queue_tokens
        in_time = self._queue_seconds * self._recent_tokens / self._recent_seconds
        return min(self._queue_tokens, max(in_time, 2 * self._share))

    def _count(self, request: _Request) -> None:
        """Bring the sums up to date with what waits of a request."""
        before, now = request.counted_tokens, request.waiting_tokens
        self._waiting_tokens += now - before
        self._taken_tokens += min(now, self._share) - min(before, self._share)
        request.counted_tokens = now

    async def _work(self) -> None:
        while batch := self._next_batch():
            await self._run_batch(batch)

    def _next_batch(self) -> list[tuple[_Request, int]]:
        self._turns = deque(request for request in self._turns if request.waiting)
        if not self._turns:
            return []
        length = self._turns[0].waiting[-1][0]
        room = most_rows(length, self._batch_tokens)
        around = [(each, window) for each in islice(self._turns, NEXT) for window in each.near(length, room)]
        around.sort(key=lambda each: abs(each[1][0] - length))  # stable: the leader's comes first
        batch = [(request, request.take(window)) for request, window in around[: self._like(around)]]
        for request, _ in batch:
            self._count(request)
        self._turns.rotate(-1)
        return batch

    def _like(self, around: Sequence[tuple[_Request, tuple[int, int]]]) -> int:
        """How many of these, from the first on, make a batch.

        None is under three quarters as long as another: padding costs more than a smaller batch.
        """
        shortest = longest = around[0][1][0]
        count = 1
        for _, (tokens, _) in around[1:]:
            shortest, longest = min(shortest, tokens), max(longest, tokens)
            if shortest * 4 < longest * 3 or (count + 1) * padded(longest) > self._batch_tokens:
                break
            count += 1
        return rounded(count)

    async def _run_batch(self, batch: list[tuple[_Request, int]]) -> None:
        loop = asyncio.get_running_loop()
        windows = [request.windows[index] for request, index in batch]
        start = time.perf_counter()
        try:
            logits = await loop.run_in_executor(self._thread, self._run, windows)
            answers = list(zip(batch, logits, strict=True))
        except Exception as fault:
            if len(batch) == 1:
                batch[0][0].fail(fault)
            else:  # one of them is at fault: alone, it fails only its own request
                for piece in batch:
                    await self._run_batch([piece])
            return
        if self._waiting_tokens:  # a text that came alone says nothing of how fast a queue is done: its batch is small
            self._recent_seconds = RECENT * self._recent_seconds + time.perf_counter() - start
            self._recent_tokens = RECENT * self._recent_tokens + sum(map(len, windows))
        for (request, index), row in answers:
            request.give(index, row)
