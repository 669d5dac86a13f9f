"""The HTTP interface, with a tiny real model: limits, what bad input gets, and trouble under way."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from policy_topics.classifier import Classifier, Window
from policy_topics.engine import Logits
from serve.app import create_app
from tests.service import DIGITAL, FARMING, HERE, SAFETY, problem, settings


class TestBadRequests:
    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b'{"items": [}',
            b'{"items": [{"text": "\xff\xfe"}]}',
            '{"items": [{"text": "粮食"}]}'.encode("gb18030"),
            b'{"items": [{"text": "\\ud800"}]}',
            b'{"items": ' + b"[" * 100_000,
            b'{"items": ' + b'{"items": ' * 100_000,
        ],
    )
    @pytest.mark.parametrize("path", ["/classify", "/classify_document"])
    def test_what_is_no_json_gets_400(self, client: TestClient, path: str, body: bytes) -> None:
        answer = client.post(path, content=body, headers={"Content-Type": "application/json"})
        problem(answer, 400, "malformed")

    @pytest.mark.parametrize(
        ("body", "item", "field"),
        [
            ([], None, "(all)"),
            ("text", None, "(all)"),
            ({}, None, "items"),
            ({"items": {}}, None, "items"),
            ({"items": "text"}, None, "items"),
            ({"items": ["text"]}, 0, "(all)"),
            ({"items": [{"text": FARMING}, {"text": 3}]}, 1, "text"),
            ({"items": [{"text": None}]}, 0, "text"),
            ({"items": [{"id": "a"}]}, 0, "text"),
            ({"items": [{"id": 7, "text": FARMING}]}, 0, "id"),
            ({"items": [{"text": FARMING, "lang": "zh"}]}, 0, "lang"),
            ({"items": [], "option": {}}, None, "option"),
            ({"items": [], "options": []}, None, "options"),
            ({"items": [], "options": {"top_k": 0}}, None, "options.top_k"),
            ({"items": [], "options": {"top_k": "3"}}, None, "options.top_k"),
            ({"items": [], "options": {"threshold": 1.5}}, None, "options.threshold"),
            ({"items": [], "options": {"crosswalk": 1}}, None, "options.crosswalk"),
            ({"items": [], "options": {"topk": 1}}, None, "options.topk"),
        ],
    )
    def test_what_does_not_fit_gets_422_that_names_item_and_field(
        self, client: TestClient, body: object, item: int | None, field: str
    ) -> None:
        (error,) = problem(client.post("/classify", json=body), 422, "invalid")["errors"]
        assert (error["item"], error["field"]) == (item, field)
        assert error["message"]

    def test_many_faults_are_counted_and_the_first_listed(self, client: TestClient) -> None:
        body = problem(client.post("/classify", json={"items": [{}] * 500}), 422, "invalid")
        assert body["detail"].startswith("500 ")
        assert [error["item"] for error in body["errors"]] == list(range(20))

    @pytest.mark.parametrize(
        "media_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonl"]
    )
    @pytest.mark.parametrize("path", ["/classify", "/classify_document"])
    def test_another_content_type_gets_415(self, client: TestClient, path: str, media_type: str | None) -> None:
        headers = {"Content-Type": media_type} if media_type else {}
        assert (
            "application/json"
            in problem(client.post(path, content=b"{}", headers=headers), 415, "unsupported_type")["detail"]
        )

    def test_a_charset_beside_the_content_type_is_fine(self, client: TestClient) -> None:
        headers = {"Content-Type": "Application/JSON; charset=utf-8"}
        assert client.post("/classify", content=b'{"items": []}', headers=headers).status_code == 200

    @pytest.mark.parametrize("path", ["/classifi", "/classify/", "/topics/x", "/docs", "/assets/a.js", "/%00"])
    def test_an_unknown_path_gets_404(self, client: TestClient, path: str) -> None:
        problem(client.get(path), 404, "not_found")
        problem(client.post(path, json={}), 404, "not_found")

    @pytest.mark.parametrize(
        ("method", "path", "allow"),
        [("GET", "/classify", "POST"), ("PUT", "/classify_document", "POST"), ("POST", "/topics", "GET, HEAD"),
         ("DELETE", "/", "GET, HEAD"), ("POST", "/livez", "GET, HEAD")],
    )  # fmt: skip
    def test_another_method_gets_405_and_the_right_one(
        self, client: TestClient, method: str, path: str, allow: str
    ) -> None:
        answer = client.request(method, path)
        problem(answer, 405, "method_not_allowed")
        assert answer.headers["allow"] == allow


class TestLimits:
    def test_too_many_items_get_413(self, client: TestClient, small: TestClient) -> None:
        assert small.post("/classify", json={"items": [{"text": "粮"}] * 3}).status_code == 200
        problem(small.post("/classify", json={"items": [{"text": "粮"}] * 4}), 413, "too_large")
        problem(client.post("/classify", json={"items": [{"text": "粮"}] * 10_000}), 413, "too_large")

    def test_too_long_an_item_gets_422_that_names_it(self, small: TestClient) -> None:
        items = [{"text": "粮" * 50}, {"text": "粮" * 51}]
        (error,) = problem(small.post("/classify", json={"items": items}), 422, "invalid")["errors"]
        assert (error["item"], error["field"]) == (1, "text")
        assert "/classify_document" in error["message"]

    def test_too_long_a_document_gets_413(self, small: TestClient) -> None:
        assert small.post("/classify_document", json={"text": "粮" * 120}).status_code == 200
        problem(small.post("/classify_document", json={"text": "粮" * 121}), 413, "too_large")
        file = {"file": ("a.txt", ("粮" * 121).encode())}
        problem(small.post("/classify_document", files=file), 413, "too_large")

    def test_too_large_a_body_gets_413_before_it_is_read(self, small: TestClient) -> None:
        headers = {"Content-Type": "application/json"}
        problem(small.post("/classify", content=b" " * 2001, headers=headers), 413, "too_large")

    @pytest.mark.parametrize("media_type", ["application/json", "multipart/form-data; boundary=x"])
    def test_too_large_a_body_in_chunks_gets_413_while_it_is_read(self, small: TestClient, media_type: str) -> None:
        start = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
        sent = 0

        def chunks() -> Iterator[bytes]:
            nonlocal sent
            yield start
            for _ in range(1000):
                sent += 500
                yield b"a" * 500

        answer = small.post("/classify_document", content=chunks(), headers={"Content-Type": media_type})
        problem(answer, 413, "too_large")

    def test_too_large_a_file_gets_413(self, small: TestClient) -> None:
        file = {"file": ("a.txt", b"a" * 3000)}
        problem(small.post("/classify_document", files=file), 413, "too_large")


class Gated:
    """A classifier whose engine waits until it is let go, and fails on windows of one length."""

    def __init__(self, classifier: Classifier, fails_on: int = 0) -> None:
        self._classifier = classifier
        self._fails_on = fails_on
        self.gate = threading.Event()
        self.entered = threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._classifier, name)

    def run(self, windows: Sequence[Window]) -> Logits:
        self.entered.set()
        assert self.gate.wait(20)
        if any(len(window) == self._fails_on for window in windows):
            raise RuntimeError("a secret of the engine")
        return self._classifier.run(windows)


def serving_with(gated: Gated, **serve: object) -> Starlette:
    return create_app(settings(**serve), lambda: cast(Classifier, gated))


@asynccontextmanager
async def asking(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://t") as ask:
        while (await ask.get("/readyz")).status_code != 200:
            await asyncio.sleep(0.01)
        yield ask


async def until(happened: Callable[[], bool]) -> None:
    while not happened():
        await asyncio.sleep(0.005)


class TestTrouble:
    def test_before_the_model_has_run_requests_get_503(self, classifier: Classifier) -> None:
        loading = threading.Event()

        def load() -> Classifier:
            assert loading.wait(20)
            return classifier

        with TestClient(create_app(settings(retry_after_seconds=7), load), client=HERE) as client:
            assert client.get("/livez").status_code == 200
            for answer in (client.get("/readyz"), client.get("/topics"), client.post("/classify", json={"items": []})):
                problem(answer, 503, "not_ready")
                assert answer.headers["retry-after"] == "7"
            loading.set()

    def test_a_model_that_cannot_be_loaded_is_neither_ready_nor_alive(self) -> None:
        def load() -> Classifier:
            raise RuntimeError("a secret path")

        with TestClient(create_app(settings(), load), client=HERE) as client:
            for _ in range(500):
                if client.get("/livez").status_code != 200:
                    break
                time.sleep(0.01)
            for path in ("/livez", "/readyz"):
                assert "secret" not in problem(client.get(path), 503, "not_ready")["detail"]

    def test_a_fault_of_the_engine_gets_500_without_its_text_and_spares_others(self, classifier: Classifier) -> None:
        (bad,) = classifier.tokenise([SAFETY])
        gated = Gated(classifier, fails_on=len(bad.windows[0]))
        gated.gate.set()

        async def scene() -> None:
            async with asking(serving_with(gated)) as ask:
                answers = await asyncio.gather(
                    *(ask.post("/classify", json={"items": [{"text": text}]}) for text in (FARMING, SAFETY, DIGITAL))
                )
                assert [answer.status_code for answer in answers] == [200, 500, 200]
                assert "secret" not in str(problem(answers[1], 500, "internal"))
                assert "Traceback" not in answers[1].text

        asyncio.run(scene())

    def test_a_full_queue_gets_429_with_retry_after(self, classifier: Classifier) -> None:
        gated = Gated(classifier)
        gated.gate.set()

        async def scene() -> None:
            app = serving_with(gated, queue_tokens=8, retry_after_seconds=3)
            async with asking(app) as ask:
                gated.gate.clear()
                gated.entered.clear()
                body = {"items": [{"text": FARMING}]}
                first = asyncio.create_task(ask.post("/classify", json=body))
                await until(gated.entered.is_set)
                waiting = [asyncio.create_task(ask.post("/classify", json=body)) for _ in range(9)]
                refused, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for answer in refused:
                    problem(answer.result(), 429, "busy")
                    assert answer.result().headers["retry-after"] == "3"
                gated.gate.set()
                statuses = [(await task).status_code for task in (first, *waiting)]
                assert statuses[0] == 200
                assert sorted(set(statuses)) == [200, 429]

        asyncio.run(scene())

    def test_work_over_its_time_gets_504(self, classifier: Classifier) -> None:
        gated = Gated(classifier)
        gated.gate.set()

        async def scene() -> None:
            async with asking(serving_with(gated, timeout_seconds=1)) as ask:
                gated.gate.clear()
                problem(await ask.post("/classify", json={"items": [{"text": FARMING}]}), 504, "timeout")
                gated.gate.set()
                assert (await ask.post("/classify", json={"items": [{"text": FARMING}]})).status_code == 200

        asyncio.run(scene())

    def test_a_client_that_leaves_takes_its_work_from_the_queue(self, classifier: Classifier) -> None:
        gated = Gated(classifier)
        gated.gate.set()
        body = json.dumps({"text": "\n".join([FARMING * 3] * 400)}).encode()
        scope = {
            "type": "http", "method": "POST", "path": "/classify_document", "query_string": b"",
            "headers": [(b"content-type", b"application/json")],
        }  # fmt: skip

        async def scene() -> None:
            app = serving_with(gated)
            async with asking(app) as ask:
                gated.gate.clear()
                gated.entered.clear()
                left = asyncio.Event()
                messages = [{"type": "http.request", "body": body}]
                sent: list[Any] = []

                async def receive() -> Any:
                    if messages:
                        return messages.pop()
                    await left.wait()
                    return {"type": "http.disconnect"}

                async def send(message: Any) -> None:
                    sent.append(message)

                request = asyncio.create_task(app(scope, receive, send))
                await until(gated.entered.is_set)
                assert "policy_topics_queue_tokens 0.0" not in (await ask.get("/metrics")).text
                left.set()
                await request
                assert sent[0]["status"] == 499
                assert "policy_topics_queue_tokens 0.0" in (await ask.get("/metrics")).text
                gated.gate.set()

        asyncio.run(scene())
