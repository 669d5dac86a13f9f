"""The micro-batcher merges the windows of many requests, is fair to small ones and keeps faults apart."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence

import numpy as np
import pytest

from policy_topics.engine import Logits
from policy_topics.tokeniser import Tokenised, Window
from serve.batcher import Batcher, Busy

TOPICS = 3
BATCH_TOKENS = 64
QUEUE_TOKENS = 800
QUEUE_SECONDS = 60.0


class Engine:
    """Answers each window with its first id, and notes the batches it was given. Closed, it waits."""

    def __init__(self) -> None:
        self.batches: list[list[Window]] = []
        self.open = threading.Event()
        self.open.set()

    def run(self, windows: Sequence[Window]) -> Logits:
        self.batches.append(list(windows))
        assert self.open.wait(10)
        if any(window[0] == BAD for window in windows):
            raise RuntimeError("the engine cannot run this")
        return np.array([[window[0]] * TOPICS for window in windows], np.float32)


BAD = 666


def text(first: int, *lengths: int) -> Tokenised:
    """A paragraph with windows of these lengths, whose logits are `first`."""
    return Tokenised(tuple((first,) * length for length in lengths))


def run(scene: Callable[[Batcher, Engine], Awaitable[None]], queue_seconds: float = QUEUE_SECONDS) -> Engine:
    """Play a scene with a batcher, and return the engine it had."""
    engine = Engine()

    async def play() -> None:
        batcher = Batcher(engine.run, TOPICS, BATCH_TOKENS, QUEUE_TOKENS, queue_seconds)
        try:
            await asyncio.wait_for(scene(batcher, engine), 20)
        finally:
            engine.open.set()
            await batcher.close()

    asyncio.run(play())
    return engine


def place(engine: Engine, paragraph: Tokenised) -> int:
    """In which batch the engine was given a paragraph, from 0."""
    return next(number for number, batch in enumerate(engine.batches) if paragraph.windows[0] in batch)


async def until_engine_runs(engine: Engine, batches: int = 1) -> None:
    while len(engine.batches) < batches:
        await asyncio.sleep(0.001)


def test_each_paragraph_gets_the_logits_of_its_own_windows() -> None:
    async def scene(batcher: Batcher, engine: Engine) -> None:
        answer = await batcher.submit([text(1, 30, 4), text(2, 9), text(3)])
        assert [logits.tolist() for logits in answer] == [[[1] * TOPICS] * 2, [[2] * TOPICS], []]

    run(scene)


def test_a_request_without_windows_does_not_reach_the_engine() -> None:
    async def scene(batcher: Batcher, engine: Engine) -> None:
        assert await batcher.submit([]) == []
        (logits,) = await batcher.submit([text(1)])
        assert logits.shape == (0, TOPICS)

    assert run(scene).batches == []


def test_requests_that_wait_together_run_together() -> None:
    async def scene(batcher: Batcher, engine: Engine) -> None:
        await asyncio.gather(*(batcher.submit([text(i, 8)]) for i in range(6)))

    assert [len(batch) for batch in run(scene).batches] == [6]


def test_a_batch_is_within_its_tokens_and_of_like_length() -> None:
    async def scene(batcher: Batcher, engine: Engine) -> None:
        await asyncio.gather(*(batcher.submit([text(i, 3 + 2 * i, 40 - i)]) for i in range(15)))

    engine = run(scene)
    assert sum(map(len, engine.batches)) == 30
    for batch in engine.batches:
        longest, shortest = max(map(len, batch)), min(map(len, batch))
        assert len(batch) * longest <= BATCH_TOKENS
        assert shortest * 4 >= longest * 3


def test_texts_of_a_common_length_overtake_others_by_a_few_turns_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve.batcher.NEXT", 4)

    async def scene(batcher: Batcher, engine: Engine) -> None:
        lengths = [8, 8, 16, 8, 8, 8, 8, 8]  # there is room for all the short ones in the first batch
        await asyncio.gather(*(batcher.submit([text(i, length)]) for i, length in enumerate(lengths)))

    batches = [[window[0] for window in batch] for batch in run(scene).batches]
    assert batches == [[0, 1, 3], [2], [4, 5, 6, 7]]


def test_a_batch_takes_those_that_are_nearest_in_length_longer_or_shorter() -> None:
    async def scene(batcher: Batcher, engine: Engine) -> None:
        lengths = [16, 40, 12, 15, 9, 16]
        await asyncio.gather(*(batcher.submit([text(i, length)]) for i, length in enumerate(lengths)))

    batches = [[window[0] for window in batch] for batch in run(scene).batches]
    assert batches == [[0, 5, 3, 2], [1], [4]]


def test_a_window_longer_than_a_batch_runs_alone() -> None:
    async def scene(batcher: Batcher, engine: Engine) -> None:
        await batcher.submit([text(1, 3 * BATCH_TOKENS, 40)])

    assert [len(batch) for batch in run(scene).batches] == [1, 1]


def test_a_long_request_does_not_hold_up_a_short_one() -> None:
    async def scene(batcher: Batcher, engine: Engine) -> None:
        long = asyncio.create_task(batcher.submit([text(1, 32)] * 1000))
        await until_engine_runs(engine)
        await batcher.submit([text(2, 5)])
        assert len(engine.batches) < 20
        assert not long.done()
        long.cancel()

    run(scene)


def test_a_bad_window_fails_its_own_request_only() -> None:
    async def scene(batcher: Batcher, engine: Engine) -> None:
        good, bad, other = await asyncio.gather(
            batcher.submit([text(1, 8)]),
            batcher.submit([text(5, 8), text(BAD, 8)]),
            batcher.submit([text(2, 8)]),
            return_exceptions=True,
        )
        assert isinstance(bad, RuntimeError)
        assert not isinstance(good, BaseException) and good[0].tolist() == [[1] * TOPICS]
        assert not isinstance(other, BaseException) and other[0].tolist() == [[2] * TOPICS]
        assert len(await batcher.submit([text(3, 8)])) == 1

    run(scene)


def test_a_full_queue_refuses_and_takes_again_when_there_is_room() -> None:
    async def scene(batcher: Batcher, engine: Engine) -> None:
        engine.open.clear()
        running = asyncio.create_task(batcher.submit([text(1, 50)]))
        await until_engine_runs(engine)
        waiting = [asyncio.create_task(batcher.submit([text(1, 50)])) for _ in range(QUEUE_TOKENS // 50)]
        while batcher.waiting_tokens < QUEUE_TOKENS:
            await asyncio.sleep(0.001)
        with pytest.raises(Busy):
            await batcher.submit([text(2, 50)])
        with pytest.raises(Busy):
            batcher.check()
        engine.open.set()
        await asyncio.gather(running, *waiting)
        assert len(await batcher.submit([text(2, 50)])) == 1

    run(scene)


def test_no_more_waits_than_the_engine_does_in_time_as_fast_as_it_is() -> None:
    async def scene(batcher: Batcher, engine: Engine) -> None:
        async def refused(count: int, seconds: float) -> int:
            """How many of so many requests of 50 tokens are, behind one that keeps the engine busy for so long."""
            engine.open.clear()
            before = len(engine.batches)
            asked = [asyncio.create_task(batcher.submit([text(1, 50)]))]
            await until_engine_runs(engine, before + 1)
            asked += [asyncio.create_task(batcher.submit([text(1, 50)])) for _ in range(count)]
            await asyncio.sleep(seconds)
            engine.open.set()
            done = await asyncio.gather(*asked, return_exceptions=True)
            return sum(isinstance(each, Busy) for each in done)

        assert await refused(10, 0) == 0
        for _ in range(30):
            await refused(1, 0.1)  # the first of the two takes 0.1 s, and the other waits
        assert 2 <= await refused(10, 0) <= 8  # 0.6 s is enough for 6
        for _ in range(6):
            await refused(3, 0)  # it is fast again
        assert await refused(10, 0) == 0

    run(scene, queue_seconds=0.6)


def test_a_request_larger_than_the_queue_is_taken_and_leaves_room_for_others() -> None:
    async def scene(batcher: Batcher, engine: Engine) -> None:
        engine.open.clear()
        long = asyncio.create_task(batcher.submit([text(1, 50)] * QUEUE_TOKENS))
        await until_engine_runs(engine)
        batcher.check()
        assert batcher.waiting_tokens > QUEUE_TOKENS
        long.cancel()

    run(scene)


def test_what_waits_of_a_cancelled_request_is_dropped() -> None:
    async def scene(batcher: Batcher, engine: Engine) -> None:
        engine.open.clear()
        request = asyncio.create_task(batcher.submit([text(1, 50)] * 8))
        await until_engine_runs(engine)
        request.cancel()
        await asyncio.wait([request])
        assert batcher.waiting_tokens == 0
        engine.open.set()
        await batcher.submit([text(2, 8)])

    assert len(run(scene).batches) == 2


def test_an_engine_that_answers_too_few_windows_fails_the_request() -> None:
    async def scene(batcher: Batcher, engine: Engine) -> None:
        short = Batcher(
            lambda windows: np.zeros((0, TOPICS), np.float32), TOPICS, BATCH_TOKENS, QUEUE_TOKENS, QUEUE_SECONDS
        )
        with pytest.raises(ValueError):
            await short.submit([text(1, 8)])
        await short.close()

    run(scene)


def test_a_short_window_among_a_stream_of_long_ones_gets_its_turn() -> None:
    async def scene(batcher: Batcher, engine: Engine) -> None:
        async def stream() -> None:
            while True:
                await batcher.submit([text(1, 60)])

        streams = [asyncio.create_task(stream()) for _ in range(6)]
        await until_engine_runs(engine, 3)
        before = len(engine.batches)
        await batcher.submit([text(2, 5)])
        assert place(engine, text(2, 5)) - before <= 1 + len(streams)  # one may be on its way to the engine
        for each in streams:
            each.cancel()

    run(scene)


def test_each_small_request_beside_a_big_one_waits_for_one_batch_of_it_at_most() -> None:
    async def scene(batcher: Batcher, engine: Engine) -> None:
        big = asyncio.create_task(batcher.submit([text(1, 60)] * 100))
        await until_engine_runs(engine)
        for number in range(5):
            before = len(engine.batches)
            await batcher.submit([text(2, 5 + number)])
            assert place(engine, text(2, 5 + number)) - before <= 1 + 1  # one may be on its way to the engine
        assert not big.done()
        big.cancel()

    run(scene)


def test_what_waits_is_told_in_seconds_at_the_engines_speed() -> None:
    async def scene(batcher: Batcher, engine: Engine) -> None:
        assert batcher.waiting_seconds == 0
        engine.open.clear()
        both = [asyncio.create_task(batcher.submit([text(1, 50)])) for _ in range(2)]
        await until_engine_runs(engine)
        await asyncio.sleep(0.1)  # for which the first is run, and the second waits
        engine.open.set()
        await asyncio.gather(*both)
        engine.open.clear()
        running = asyncio.create_task(batcher.submit([text(1, 50)]))
        await until_engine_runs(engine, 3)
        waiting = [asyncio.create_task(batcher.submit([text(1, 50)])) for _ in range(4)]
        while batcher.waiting_tokens < 200:
            await asyncio.sleep(0.001)
        assert batcher.waiting_seconds >= 4 * 0.1  # each took as long as the first
        engine.open.set()
        await asyncio.gather(running, *waiting)
        assert (batcher.waiting_tokens, batcher.waiting_seconds) == (0, 0)

    run(scene)
