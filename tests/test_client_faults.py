"""The Python client, against servers that are busy, broken or something else: it asks again, and no text is lost."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from policy_topics.client import (
    AsyncClient,
    Classified,
    Client,
    ClientError,
    Incomplete,
    ModelName,
    ServiceError,
    Unreachable,
)
from tests.listening import listening

LIMITS = {
    "max_body_bytes": 100_000, "max_items": 2, "max_item_characters": 400, "max_document_characters": 10_000,
    "timeout_seconds": 60,
}  # fmt: skip
NAME = {"name": "fake", "version": "1", "taxonomy": 1}
BUSY = {"code": "busy", "detail": "Later.", "detail_zh": "稍后。", "status": 429}


@dataclass
class Fake:
    """A server that answers /classify as it is told to, in turn; what it answers is the texts' numbers."""

    script: list[Callable[[Request], Response] | None] = field(default_factory=list)
    """None, and after its end: a proper answer."""
    bodies: list[list[str]] = field(default_factory=list)
    most_at_once: int = 0
    at_once: int = 0

    async def classify(self, request: Request) -> Response:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        texts = [item["text"] for item in json.loads(await request.body())["items"]]
        self.bodies.append(texts)
        answer = self.script.pop(0) if self.script else None
        await asyncio.sleep(0.02)
        self.at_once -= 1
        return answer(request) if answer else JSONResponse(self.results(texts))

    def results(self, texts: Sequence[str]) -> dict[str, object]:
        return {
            "model": NAME,
            "results": [{"id": None, "topics": [], "primary": None, "tokens": int(t), "windows": 1} for t in texts],
        }

    async def model(self, _: Request) -> Response:
        return JSONResponse({**NAME, "topics": 1, "engine": "none", "metrics": {}, "limits": LIMITS, "later": "field"})

    @property
    def app(self) -> Starlette:
        return Starlette(routes=[Route("/model", self.model), Route("/classify", self.classify, methods=["POST"])])


def busy(_: Request) -> Response:
    return JSONResponse(BUSY, 429, {"Retry-After": "0"})


def broken(_: Request) -> Response:
    return JSONResponse({**BUSY, "code": "internal", "status": 500}, 500)


def garbled(_: Request) -> Response:
    return Response(b"no gzip", headers={"Content-Encoding": "gzip"})


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("policy_topics.client.retries.BASE_SECONDS", 0.01)
    monkeypatch.setattr("policy_topics.client.retries.CAP_SECONDS", 0.1)


def tokens(results: Sequence[Classified | None]) -> list[int | None]:
    return [None if result is None else result.tokens for result in results]


class TestRetries:
    def test_a_busy_service_is_asked_again(self) -> None:
        fake = Fake([busy, busy])
        with listening(fake.app) as url, Client(url) as client:
            assert tokens(client.classify(["7"])) == [7]
        assert fake.bodies == [["7"]] * 3

    def test_never_before_the_service_says(self) -> None:
        fake = Fake([lambda _: JSONResponse(BUSY, 429, {"Retry-After": "1"})])
        with listening(fake.app) as url, Client(url) as client:
            begin = time.monotonic()
            client.classify(["7"])
            assert time.monotonic() - begin >= 1

    def test_it_gives_up_after_some_tries(self) -> None:
        fake = Fake([busy] * 9)
        with listening(fake.app) as url, Client(url, tries=3) as client, pytest.raises(Incomplete) as fault:
            client.classify(["7"])
        assert len(fake.bodies) == 3
        assert isinstance(fault.value.__cause__, ServiceError)
        assert fault.value.__cause__.code == "busy"

    def test_it_does_not_wait_longer_than_its_patience(self) -> None:
        fake = Fake([lambda _: JSONResponse(BUSY, 429, {"Retry-After": "3600"})])
        with listening(fake.app) as url, Client(url, patience=5) as client, pytest.raises(Incomplete):
            client.classify(["7"])
        assert len(fake.bodies) == 1

    def test_a_fault_of_the_service_is_not_repeated(self) -> None:
        fake = Fake([broken])
        with listening(fake.app) as url, Client(url) as client, pytest.raises(Incomplete):
            client.classify(["7"])
        assert len(fake.bodies) == 1

    def test_nobody_there_is_said_after_some_tries(self) -> None:
        with listening(Fake().app) as url:
            pass
        with Client(url, tries=3) as client, pytest.raises(Unreachable, match=url):
            client.model()

    @pytest.mark.parametrize("url", ["127.0.0.1:3000", "localhost:3000", "localhost", "http://", "http://a:x", ""])
    @pytest.mark.parametrize("kind", [Client, AsyncClient])
    def test_an_address_that_is_none_is_refused_at_once(self, kind: Callable[[str], object], url: str) -> None:
        with pytest.raises(ClientError, match=r"such as http://127\.0\.0\.1:3000"):
            kind(url)

    def test_another_server_is_recognised(self) -> None:
        async def page(_: Request) -> Response:
            return PlainTextResponse("<html>", headers={"Server": "other"})

        with listening(Starlette(routes=[Route("/model", page)])) as url, Client(url) as client:
            with pytest.raises(ServiceError, match="is the address right"):
                client.model()
            with pytest.raises(ServiceError, match="http_404"):
                client.topics()


class TestNothingIsLost:
    NUMBERS = tuple(map(str, range(1, 10)))

    def test_the_answers_that_came_are_in_the_error(self) -> None:
        fake = Fake([None, None, broken])
        with listening(fake.app) as url, Client(url) as client, pytest.raises(Incomplete) as fault:
            client.classify(self.NUMBERS)
        assert tokens(fault.value.results) == [1, 2, 3, 4, None, None, None, None, None]
        assert fault.value.left == [4, 5, 6, 7, 8]
        assert "4 of 9" in str(fault.value) and "4-8" in str(fault.value)

    def test_an_answer_that_cannot_be_unpacked_is_a_fault_like_any_other(self) -> None:
        async def ask(url: str) -> None:
            async with AsyncClient(url, in_flight=1) as client:
                await client.classify(self.NUMBERS)

        for classify in (lambda url: Client(url).classify(self.NUMBERS), lambda url: asyncio.run(ask(url))):
            fake = Fake([None, garbled])
            with listening(fake.app) as url, pytest.raises(Incomplete) as fault:
                classify(url)
            assert tokens(fault.value.results) == [1, 2, *[None] * 7]
            assert "cannot be unpacked" in str(fault.value.__cause__)
            assert len(fake.bodies) == 2

    def test_those_under_way_are_waited_for(self) -> None:
        async def ask(url: str) -> None:
            async with AsyncClient(url, in_flight=2) as client:
                await client.classify(self.NUMBERS)

        fake = Fake([None, broken])
        with listening(fake.app) as url, pytest.raises(Incomplete) as fault:
            asyncio.run(ask(url))
        done = set(range(9)) - set(fault.value.left)
        assert done == {int(text) - 1 for body in fake.bodies for text in body} - failed(fake, fault.value)
        assert 2 <= len(done) < 9

    def test_few_requests_are_under_way_at_once(self) -> None:
        async def ask(url: str) -> list[Classified]:
            async with AsyncClient(url, in_flight=3) as client:
                return await client.classify([*self.NUMBERS] * 4)

        fake = Fake()
        with listening(fake.app) as url:
            assert tokens(asyncio.run(ask(url))) == [*range(1, 10)] * 4
        assert fake.most_at_once == 3

    def test_the_text_at_fault_has_the_number_it_was_given_with(self) -> None:
        fault_of_second = {
            **BUSY, "code": "invalid", "errors": [{"item": 1, "field": "text", "message": "no"}],
        }  # fmt: skip
        fake = Fake([None, lambda _: JSONResponse(fault_of_second, 422)])
        with listening(fake.app) as url, Client(url) as client, pytest.raises(Incomplete) as fault:
            client.classify(self.NUMBERS)
        assert isinstance(fault.value.__cause__, ServiceError)
        assert [each.item for each in fault.value.__cause__.faults] == [3]

    def test_a_result_says_which_model_gave_it(self) -> None:
        with listening(Fake().app) as url, Client(url) as client:
            assert {result.model for result in client.classify(self.NUMBERS)} == {ModelName("fake", "1", 1)}


def failed(fake: Fake, fault: Incomplete) -> set[int]:
    """Indexes of the request that was refused."""
    left = set(fault.left)
    return next(numbers for body in fake.bodies if (numbers := {int(t) - 1 for t in body}) <= left)
