"""The HTTP interface, with a tiny real model: what it answers."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from docx import Document as Docx
from starlette.applications import Starlette
from starlette.testclient import TestClient

from configs.taxonomy import load_taxonomy
from policy_topics.classifier import Classifier
from tests.service import DIGITAL, EVERY_TOPIC, FARMING, SAFETY, classify, problem, settings


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
        about = {"name": "纪要", "media_type": "text/plain", "encoding": None, "remarks": []}
        assert answer["document"] == about
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
        about = {"name": "通知.txt", "media_type": "text/plain", "encoding": "gb18030", "remarks": []}
        assert answer["document"] == about
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
