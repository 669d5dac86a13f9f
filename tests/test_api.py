"""The HTTP interface, with a tiny real model: shapes, limits, and what bad input gets."""

from __future__ import annotations

import asyncio
import io
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol, cast

import httpx
import pytest
from docx import Document as Docx
from starlette.applications import Starlette
from starlette.testclient import TestClient

from configs.settings import Settings, load_settings
from configs.taxonomy import load_taxonomy
from policy_topics.classifier import Classifier, Window
from policy_topics.engine import Logits
from serve.api import create_app
from serve.problems import CODES, MEDIA_TYPE

FARMING = "会议强调，要抓好粮食生产，推进高标准农田建设。"
DIGITAL = "加快建设数字政府，推动政务数据共享。"
SAFETY = "要深入排查化工企业和建筑工地的事故隐患。"
EVERY_TOPIC = {"threshold": 0.0}


def settings(**serve: object) -> Settings:
    return load_settings(None, {f"serve.{key}": value for key, value in serve.items()})


@pytest.fixture(scope="module")
def classifier(tiny_bundle: Path) -> Classifier:
    return Classifier.load(tiny_bundle, load_settings().engine)


@pytest.fixture(scope="module")
def client(classifier: Classifier) -> Iterator[TestClient]:
    yield from serving(create_app(settings(), lambda: classifier))


@pytest.fixture(scope="module")
def small(classifier: Classifier) -> Iterator[TestClient]:
    """A service with small limits."""
    limits = settings(max_body_bytes=2000, max_items=3, max_item_characters=50, max_document_characters=120)
    yield from serving(create_app(limits, lambda: classifier))


def serving(app: Starlette) -> Iterator[TestClient]:
    with TestClient(app, raise_server_exceptions=False) as client:
        for _ in range(500):
            if client.get("/readyz").status_code == 200:
                break
            time.sleep(0.01)
        yield client


def classify(client: TestClient, *texts: str, **options: object) -> list[dict[str, Any]]:
    answer = client.post("/classify", json={"items": [{"text": text} for text in texts], "options": options})
    assert answer.status_code == 200, answer.text
    results: list[dict[str, Any]] = answer.json()["results"]
    return results


class Answer(Protocol):
    """What Starlette's test client and httpx have in common."""

    @property
    def status_code(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def text(self) -> str: ...
    def json(self) -> Any: ...


def problem(answer: Answer, status: int, code: str) -> dict[str, Any]:
    """The problem in an answer, after checks of what every problem has."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, MEDIA_TYPE), answer.text
    body: dict[str, Any] = answer.json()
    assert (body["status"], body["code"]) == (status, code)
    assert CODES[code] == (status, body["title"])
    assert body["detail"] and body["detail_zh"] and body["type"].endswith(code)
    return body


class TestClassify:
    def test_the_answer_has_the_model_and_a_result_for_each_item_in_order(self, client: TestClient) -> None:
        items = [{"id": "b", "text": FARMING}, {"id": "a", "text": DIGITAL}, {"text": SAFETY}]
        answer = client.post("/classify", json={"items": items}).json()
        assert set(answer) == {"model", "results"}
        assert answer["model"].items() <= client.get("/model").json().items()
        assert [result["id"] for result in answer["results"]] == ["b", "a", None]
        for result in answer["results"]:
            assert set(result) == {"id", "topics", "primary", "tokens", "windows"}
            assert result["tokens"] > 0 and result["windows"] >= 1

    def test_it_agrees_with_the_library(self, client: TestClient, classifier: Classifier) -> None:
        (result,) = classify(client, FARMING)
        (prediction,) = classifier.classify([FARMING])
        assert [(topic["id"], topic["probability"]) for topic in result["topics"]] == [
            (topic.id, pytest.approx(topic.probability, abs=2e-3)) for topic in prediction.topics
        ]
        assert (result["primary"], result["tokens"]) == (prediction.primary, prediction.tokens)

    def test_a_threshold_takes_the_place_of_the_models_own(self, client: TestClient) -> None:
        every, few = classify(client, FARMING, **EVERY_TOPIC)[0], classify(client, FARMING, threshold=0.6)[0]
        probabilities = [topic["probability"] for topic in every["topics"]]
        assert len(probabilities) == len(load_taxonomy().topics)
        assert probabilities == sorted(probabilities, reverse=True)
        assert [topic["probability"] for topic in few["topics"]] == [p for p in probabilities if p >= 0.6]
        assert classify(client, FARMING, threshold=1.0)[0] | {"topics": [], "primary": None} == {
            **every, "topics": [], "primary": None,
        }  # fmt: skip

    def test_top_k_gives_the_most_probable(self, client: TestClient) -> None:
        every, two = classify(client, FARMING, **EVERY_TOPIC)[0], classify(client, FARMING, top_k=2, **EVERY_TOPIC)[0]
        assert two["topics"] == every["topics"][:2]
        assert two["primary"] == two["topics"][0]["id"]

    def test_a_crosswalk_stands_beside_each_topic_on_request(self, client: TestClient) -> None:
        plain, crossed = (
            classify(client, FARMING, **EVERY_TOPIC)[0],
            classify(client, FARMING, crosswalk=True, **EVERY_TOPIC)[0],
        )
        assert set(plain["topics"][0]) == {"id", "name", "probability"}
        for topic in crossed["topics"]:
            own = load_taxonomy()[topic["id"]]
            assert (topic["cap"], topic["gov"]) == (list(own.cap), own.gov)

    def test_names_are_chinese_unless_the_client_prefers_english(self, client: TestClient) -> None:
        body = {"items": [{"text": FARMING}], "options": EVERY_TOPIC}
        for header, language in ((None, "zh"), ("en-GB,en;q=0.9", "en"), ("zh-CN,zh;q=0.9,en;q=0.8", "zh")):
            headers = {"Accept-Language": header} if header else {"Accept-Language": ""}
            answer = client.post("/classify", json=body, headers=headers)
            assert answer.headers["content-language"] == language
            topic = answer.json()["results"][0]["topics"][0]
            assert topic["name"] == getattr(load_taxonomy()[topic["id"]], language)

    @pytest.mark.parametrize("text", ["", "   \n\t", "，。！？……——", "\x00\x00", "😀🎉"])
    def test_a_text_without_words_has_no_topics(self, client: TestClient, text: str) -> None:
        (result,) = classify(client, text, **EVERY_TOPIC)
        assert result == {"id": None, "topics": [], "primary": None, "tokens": 0, "windows": 0}

    @pytest.mark.parametrize(
        "dirty",
        [
            "會議強調，要抓好糧食生產，推進高標準農田建設。",
            "会议强调(qiángdiào)，要抓好粮(liáng)食生产，推进高标准农田建设。",
            "会议强调,要抓好粮食生产,推进高标准农田建设。",
            "会议\x00强调，要抓好粮食生产，推进高标准农田建设。",
        ],
    )
    def test_texts_are_cleaned_before_the_model(self, client: TestClient, dirty: str) -> None:
        assert len({json.dumps(result) for result in classify(client, dirty, dirty)}) == 1

    def test_traditional_text_with_glosses_counts_as_its_clean_form(self, client: TestClient) -> None:
        dirty = "會議強調，要抓好糧(liáng)食生產，推進高標準農田建設。"
        assert [r["tokens"] for r in classify(client, dirty)] == [r["tokens"] for r in classify(client, FARMING)]

    def test_mixed_text_is_read(self, client: TestClient) -> None:
        assert all(r["windows"] for r in classify(client, "推进 Digital Government 建设 🚀 (2022)", "GDP grew."))

    def test_a_long_text_says_in_how_many_windows_it_was_read(self, client: TestClient) -> None:
        (result,) = classify(client, FARMING * 20)
        assert result["windows"] > 1

    def test_no_items_give_no_results(self, client: TestClient) -> None:
        assert classify(client) == []


class TestDocument:
    TEXT = f"{FARMING}\n\n打印本页\n\n{DIGITAL}"

    def test_each_paragraph_has_its_place_and_topics(self, client: TestClient) -> None:
        answer = client.post("/classify_document", json={"text": self.TEXT, "name": "纪要"}).json()
        assert set(answer) == {"model", "document", "results", "document_topics", "dropped"}
        assert answer["document"] == {"name": "纪要", "media_type": "text/plain", "encoding": None}
        assert answer["dropped"] == ["打印本页"]
        assert [result["index"] for result in answer["results"]] == [0, 1]
        for result, text in zip(answer["results"], (FARMING, DIGITAL), strict=True):
            assert set(result) == {"index", "start", "end", "text", "topics", "primary", "tokens", "windows"}
            assert self.TEXT[result["start"] : result["end"]] == result["text"] == text

    def test_offsets_count_code_points(self, client: TestClient) -> None:
        answer = client.post("/classify_document", json={"text": f"🚀🚀\n{FARMING}"}).json()
        assert answer["results"][-1]["start"] == 3

    def test_shares_are_by_length_of_the_paragraphs_that_carry_a_topic(self, client: TestClient) -> None:
        body = {"text": self.TEXT, "options": {"threshold": 0.0, "top_k": 1}}
        answer = client.post("/classify_document", json=body).json()
        lengths: dict[str, int] = {}
        for result in answer["results"]:
            lengths[result["primary"]] = lengths.get(result["primary"], 0) + len(result["text"])
        shares = {topic["id"]: topic["share"] for topic in answer["document_topics"]}
        assert shares == {topic: pytest.approx(n / sum(lengths.values()), abs=1e-4) for topic, n in lengths.items()}
        assert list(shares.values()) == sorted(shares.values(), reverse=True)

    def test_an_uploaded_file_is_read_like_its_text(self, client: TestClient) -> None:
        options = {"options": json.dumps(EVERY_TOPIC)}
        file = {"file": ("通知.txt", self.TEXT.encode("gb18030"), "text/plain")}
        answer = client.post("/classify_document", files=file, data=options).json()
        assert answer["document"] == {"name": "通知.txt", "media_type": "text/plain", "encoding": "gb18030"}
        typed = client.post("/classify_document", json={"text": self.TEXT, "options": EVERY_TOPIC}).json()
        assert answer["results"] == typed["results"]

    def test_a_word_file_is_read(self, client: TestClient) -> None:
        word, file = Docx(), io.BytesIO()
        for text in (FARMING, DIGITAL):
            word.add_paragraph(text)
        word.save(file)
        answer = client.post("/classify_document", files={"file": ("通知.docx", file.getvalue())}).json()
        assert [result["text"] for result in answer["results"]] == [FARMING, DIGITAL]

    @pytest.mark.parametrize("text", ["", "。。。", "打印本页", "\x00"])
    def test_a_document_without_words_has_no_paragraphs(self, client: TestClient, text: str) -> None:
        answer = client.post("/classify_document", json={"text": text})
        assert answer.status_code == 200
        assert (answer.json()["results"], answer.json()["document_topics"]) == ([], [])

    def test_a_megabyte_of_one_character_is_read(self, client: TestClient) -> None:
        data = ("粮" * 350_000).encode()
        answer = client.post("/classify_document", files={"file": ("a.txt", data)})
        assert answer.status_code == 200
        assert sum(len(result["text"]) for result in answer.json()["results"]) == 350_000

    def test_a_file_of_an_unknown_type_gets_415(self, client: TestClient) -> None:
        file = {"file": ("a.bin", bytes(range(256)) * 8)}
        problem(client.post("/classify_document", files=file), 415, "unsupported_type")

    def test_a_broken_file_gets_422(self, client: TestClient) -> None:
        file = {"file": ("a.pdf", b"%PDF-1.7 and nothing more")}
        problem(client.post("/classify_document", files=file), 422, "unreadable_document")

    def test_a_form_without_a_file_names_the_field(self, client: TestClient) -> None:
        answer = client.post("/classify_document", files={"options": (None, "{}")})
        assert problem(answer, 422, "invalid")["errors"][0]["field"] == "file"
        answer = client.post("/classify_document", files={"file": (None, "text, no file")})
        assert problem(answer, 422, "invalid")["errors"][0]["field"] == "file"

    def test_a_form_with_an_unknown_field_names_it(self, client: TestClient) -> None:
        answer = client.post("/classify_document", files={"document": ("a.txt", b"a")})
        assert problem(answer, 422, "invalid")["errors"][0]["field"] == "document"

    def test_a_form_with_bad_options_names_them(self, client: TestClient) -> None:
        file = {"file": ("a.txt", b"a")}
        answer = client.post("/classify_document", files=file, data={"options": '{"top_k": 0}'})
        assert problem(answer, 422, "invalid")["errors"][0]["field"] == "options.top_k"
        answer = client.post("/classify_document", files=file, data={"options": "{"})
        problem(answer, 400, "malformed")

    @pytest.mark.parametrize("media_type", ["multipart/form-data", "multipart/form-data; boundary=x"])
    def test_a_broken_form_gets_400(self, client: TestClient, media_type: str) -> None:
        answer = client.post("/classify_document", content=b"no form", headers={"Content-Type": media_type})
        problem(answer, 400, "malformed")

    def test_two_files_get_400(self, client: TestClient) -> None:
        files = [("file", ("a.txt", b"a")), ("file", ("b.txt", b"b"))]
        problem(client.post("/classify_document", files=files), 400, "malformed")


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


class TestAbout:
    def test_the_page_needs_no_other_host(self, client: TestClient) -> None:
        page = client.get("/")
        assert page.headers["content-type"].startswith("text/html")
        assert "://" not in page.text

    def test_topics_are_the_taxonomy(self, client: TestClient) -> None:
        answer = client.get("/topics").json()
        assert answer["version"] == load_taxonomy().version
        assert [topic["id"] for topic in answer["topics"]] == list(load_taxonomy().ids)
        assert set(answer["topics"][0]) == {"id", "zh", "en", "define", "not", "cap", "gov"}

    def test_the_model_says_what_it_is_and_takes(self, client: TestClient, classifier: Classifier) -> None:
        answer = client.get("/model").json()
        assert (answer["name"], answer["version"]) == (classifier.bundle.name, classifier.bundle.version)
        assert answer["engine"] == classifier.engine.name
        assert answer["limits"]["max_items"] == settings().serve.max_items

    def test_metrics_count_by_path_without_keeping_unknown_ones(self, client: TestClient) -> None:
        client.get("/no/such/path")
        classify(client, FARMING)
        text = client.get("/metrics").text
        assert 'policy_topics_requests_total{path="/classify",status="200"}' in text
        assert 'policy_topics_requests_total{path="other",status="404"}' in text
        assert "/no/such/path" not in text
        assert "policy_topics_queue_tokens 0.0" in text

    def test_the_openapi_document_has_every_path_and_resolves(self, client: TestClient) -> None:
        document = client.get("/docs.json").json()
        app = client.app
        assert isinstance(app, Starlette)
        assert set(document["paths"]) == {getattr(route, "path", "") for route in app.routes} - {""}
        text = json.dumps(document)
        for name in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
            assert name in document["components"]["schemas"]
        assert str(settings().serve.max_body_bytes) in document["info"]["description"]

    def test_the_examples_of_the_openapi_document_are_real(self, client: TestClient) -> None:
        paths = client.get("/docs.json").json()["paths"]
        for path in ("/classify", "/classify_document"):
            operation = paths[path]["post"]
            example = operation["requestBody"]["content"]["application/json"]["example"]
            shown = operation["responses"]["200"]["content"]["application/json"]["example"]
            everything = example | {"options": example["options"] | EVERY_TOPIC}
            answer = client.post(path, json=everything)
            assert answer.status_code == 200
            assert shape(answer.json()) == shape(shown)
            topic = shown["results"][0]["topics"][0]
            own = load_taxonomy()[topic["id"]]
            assert (topic["name"], topic["cap"], topic["gov"]) == (own.zh, list(own.cap), own.gov)


def shape(answer: Any) -> Any:
    """Field names of an answer, of the first element where there are several."""
    if isinstance(answer, dict):
        return {key: shape(value) for key, value in answer.items()}
    if isinstance(answer, list):
        return [shape(value) for value in answer[:1]] if any(isinstance(value, dict) for value in answer) else "list"
    return None


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

        with TestClient(create_app(settings(retry_after_seconds=7), load)) as client:
            assert client.get("/livez").status_code == 200
            for answer in (client.get("/readyz"), client.get("/topics"), client.post("/classify", json={"items": []})):
                problem(answer, 503, "not_ready")
                assert answer.headers["retry-after"] == "7"
            loading.set()

    def test_a_model_that_cannot_be_loaded_is_neither_ready_nor_alive(self) -> None:
        def load() -> Classifier:
            raise RuntimeError("a secret path")

        with TestClient(create_app(settings(), load)) as client:
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
