"""Too much work at once: the service refuses some with an honest `Retry-After`, errs on none, and recovers at once."""

from __future__ import annotations

import asyncio
import math
from collections import Counter

import httpx
import pytest
from starlette.applications import Starlette

from policy_topics.classifier import Classifier
from serve.batcher import Batcher
from tests.service import DIGITAL, EVERY_TOPIC, FARMING, SAFETY, problem
from tests.test_api_faults import Gated, asking, serving_with, until

TEXTS = (FARMING, DIGITAL, SAFETY, FARMING * 2, DIGITAL * 3)


def body(text: str) -> dict[str, object]:
    return {"items": [{"id": text, "text": text}], "options": EVERY_TOPIC}


async def ask_all_at_once(ask: httpx.AsyncClient, times: int) -> list[httpx.Response]:
    return await asyncio.gather(*(ask.post("/classify", json=body(TEXTS[i % len(TEXTS)])) for i in range(times)))


async def refused(ask: httpx.AsyncClient) -> httpx.Response:
    """Ask until the queue is full; the first answer that says so. The engine must be held, and run something."""
    asked = [asyncio.create_task(ask.post("/classify", json=body(FARMING))) for _ in range(60)]
    done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
    return next(iter(done)).result()


def batcher_of(app: Starlette) -> Batcher:
    found: Batcher = app.state.model._answering.batcher
    return found


def test_more_than_the_queue_holds_is_refused_and_all_else_answered_right(classifier: Classifier) -> None:
    gated = Gated(classifier)
    gated.gate.set()

    async def scene() -> None:
        app = serving_with(gated, queue_tokens=400)
        async with asking(app) as ask:
            alone = {text: await ask.post("/classify", json=body(text)) for text in TEXTS}
            expected = {text: answer.json()["results"][0] for text, answer in alone.items()}
            gated.gate.clear()
            gated.entered.clear()
            first = asyncio.create_task(ask.post("/classify", json=body(FARMING)))
            await until(gated.entered.is_set)
            rest = asyncio.create_task(ask_all_at_once(ask, 200))
            await until(lambda: batcher_of(app).waiting_tokens > 300)
            gated.gate.set()
            answers = [await first, *await rest]
            counts = Counter(answer.status_code for answer in answers)
            assert set(counts) == {200, 429}
            for answer in answers:
                if answer.status_code == 200:
                    (result,) = answer.json()["results"]
                    assert close(result, expected[result["id"]])
                else:
                    problem(answer, 429, "busy")
            assert batcher_of(app).waiting_tokens == 0
            assert {answer.status_code for answer in await ask_all_at_once(ask, 5)} == {200}

    asyncio.run(scene())


def close(one: dict[str, object], other: dict[str, object]) -> bool:
    """Whether two results have the same topics and, but for rounding in another batch, probabilities."""
    mine, its = (
        {topic["id"]: topic["probability"] for topic in result["topics"]}  # type: ignore[attr-defined]
        for result in (one, other)
    )
    return mine.keys() == its.keys() and all(math.isclose(mine[topic], its[topic], abs_tol=2e-3) for topic in mine)


class TestRetryAfter:
    def test_it_is_what_the_queue_takes_at_the_engines_speed(
        self, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert self.told(classifier, monkeypatch, 7.2) == 8

    def test_it_is_the_setting_where_the_queue_takes_less(
        self, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert self.told(classifier, monkeypatch, 0.5) == 3

    def test_it_is_no_longer_than_anything_waits(self, classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.told(classifier, monkeypatch, 1000) == 20

    def told(self, classifier: Classifier, monkeypatch: pytest.MonkeyPatch, seconds: float) -> int:
        """`Retry-After` where the queue is full and takes so many seconds."""
        monkeypatch.setattr(Batcher, "waiting_seconds", property(lambda _: seconds))
        gated = Gated(classifier)
        gated.gate.set()
        answers: list[httpx.Response] = []

        async def scene() -> None:
            app = serving_with(gated, queue_tokens=60, retry_after_seconds=3, timeout_seconds=20)
            async with asking(app) as ask:
                gated.gate.clear()
                gated.entered.clear()
                first = asyncio.create_task(ask.post("/classify", json=body(FARMING)))
                await until(gated.entered.is_set)
                answers.append(await refused(ask))
                gated.gate.set()
                await first

        asyncio.run(scene())
        problem(answers[0], 429, "busy")
        return int(answers[0].headers["retry-after"])
