"""`/feedback` and `/queue`: what is stored, what is refused, and what the service does where the store fails."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from starlette.testclient import TestClient

from configs.settings import load_settings
from policy_topics.classifier import Classifier
from policy_topics.feedback.store import Store
from serve.access.keys import add_key
from serve.app import create_app
from serve.run import environment
from tests.service import DIGITAL, FARMING, classify, problem, serving

Serve = Callable[..., TestClient]


def item(**change: Any) -> dict[str, Any]:
    usual = {"id": str(uuid4()), "text": FARMING, "old": [{"id": "education", "probability": 0.5}],
             "new": ["agriculture"]}  # fmt: skip
    return usual | change


def body(*items: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"items": list(items), "consent": True, **more}


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'store' / 'feedback.db'}"


@pytest.fixture
def serve(classifier: Classifier, url: str) -> Iterator[Serve]:
    """Starts services with these settings."""
    running: list[Iterator[TestClient]] = []

    def start(**flags: Any) -> TestClient:
        settings = load_settings(None, {"feedback.url": url} | {k.replace("__", "."): v for k, v in flags.items()})
        running.append(serving(create_app(settings, lambda: classifier)))
        return next(running[-1])

    yield start
    for service in running:
        next(service, None)


@pytest.fixture
def service(serve: Serve) -> TestClient:
    return serve()


class TestStoring:
    def test_a_correction_is_stored_with_all_that_is_known_of_it(
        self, service: TestClient, url: str, classifier: Classifier
    ) -> None:
        sent = item(document="纪要.docx", new=["agriculture", "digital"])
        answer = service.post("/feedback", json=body(sent))
        assert (answer.status_code, answer.json()) == (201, {"ids": [sent["id"]]})
        (stored,) = Store(url).read()
        assert (stored.id, stored.text, stored.document) == (sent["id"], FARMING, "纪要.docx")
        assert [(topic.id, topic.probability) for topic in stored.old] == [("education", 0.5)]
        assert stored.new == ("agriculture", "digital")
        bundle = classifier.bundle
        assert (stored.model, stored.version, stored.taxonomy) == (bundle.name, bundle.version, bundle.taxonomy.version)
        assert stored.who is None

    def test_the_name_of_the_key_is_stored(self, serve: Serve, url: str, tmp_path: Path) -> None:
        _, key = add_key(tmp_path / "keys.json", "alice")
        service = serve(serve__keys="required", serve__keys_file=tmp_path / "keys.json")
        assert service.post("/feedback", json=body(item())).status_code == 401
        service.post("/feedback", json=body(item()), headers={"Authorization": f"Bearer {key}"})
        assert [each.who for each in Store(url).read()] == ["alice"]

    def test_a_correction_sent_again_is_stored_once(self, service: TestClient, url: str) -> None:
        one, two = item(), item(new=[])
        assert service.post("/feedback", json=body(one)).status_code == 201
        again = service.post("/feedback", json=body(one))
        assert (again.status_code, again.json()) == (200, {"ids": [one["id"]]})
        assert service.post("/feedback", json=body(one, two)).status_code == 201
        assert [each.id for each in Store(url).read()] == [one["id"], two["id"]]

    def test_the_same_id_for_something_else_is_a_conflict_and_nothing_is_stored(
        self, service: TestClient, url: str
    ) -> None:
        one = item()
        service.post("/feedback", json=body(one))
        answer = service.post("/feedback", json=body(item(), one | {"new": ["energy"]}))
        assert one["id"] in problem(answer, 409, "conflict")["detail"]
        assert len(Store(url).read()) == 1

    def test_a_correction_without_an_id_gets_one(self, service: TestClient, url: str) -> None:
        nameless = item()
        del nameless["id"]
        answer = service.post("/feedback", json=body(nameless, nameless))
        assert answer.json()["ids"] == [each.id for each in Store(url).read()]
        assert len(set(answer.json()["ids"])) == 2

    def test_topics_of_another_model_are_kept_as_it_gave_them(self, service: TestClient, url: str) -> None:
        sent = item(model="0123456789ab", old=[{"id": "gone_topic", "probability": 0.9}])
        assert service.post("/feedback", json=body(sent)).status_code == 201
        (stored,) = Store(url).read()
        assert (stored.model, stored.version, stored.old[0].id) == (None, "0123456789ab", "gone_topic")

    def test_many_clients_at_once_lose_nothing(self, service: TestClient, url: str) -> None:
        every = [[item(text=f"{FARMING}{client}-{n}") for n in range(3)] for client in range(20)]
        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(lambda items: [service.post("/feedback", json=body(i)) for i in items], every))
        assert {answer.status_code for each in answers for answer in each} == {201}
        assert sorted(each.id for each in Store(url).read()) == sorted(i["id"] for items in every for i in items)


class TestRefusing:
    @pytest.mark.parametrize("consent", [{}, {"consent": False}])
    def test_nothing_is_stored_without_consent(
        self, service: TestClient, tmp_path: Path, consent: dict[str, bool]
    ) -> None:
        answer = service.post("/feedback", json={"items": [item()], **consent})
        assert "Nothing was stored" in problem(answer, 403, "no_consent")["detail"]
        assert not list(tmp_path.iterdir())

    def test_nothing_is_stored_where_feedback_is_off(self, serve: Serve, tmp_path: Path) -> None:
        off = serve(feedback__enabled=False)
        problem(off.post("/feedback", json=body(item())), 403, "feedback_off")
        problem(off.get("/queue"), 403, "feedback_off")
        assert off.get("/model").json()["feedback"] == {"enabled": False, "queue": False}
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        ("change", "field", "named"),
        [
            ({"new": ["agriculture", "farming", "fishing"]}, "new", "unknown topics: farming, fishing"),
            ({"old": [{"id": "farming"}]}, "old", "unknown topics: farming"),
            ({"new": ["energy", "energy"]}, "new", "twice"),
            ({"new": ["energy", "education", "health", "digital", "transport"]}, "new", "at most 4"),
            ({"new": None}, "new", "array"),
            ({"text": "  \u3000 "}, "text", "after cleaning"),
            ({"text": "粮\0食"}, "text", "NUL"),
            ({"document": "a\0"}, "document", "NUL"),
            ({"text": "粮" * 20001}, "text", "serve.max_item_characters"),
            ({"id": "7"}, "id", "UUID"),
            ({"note": "?"}, "note", "unknown field"),
        ],
    )
    def test_what_cannot_be_learnt_from_is_named(
        self, service: TestClient, tmp_path: Path, change: dict[str, Any], field: str, named: str
    ) -> None:
        (error,) = problem(service.post("/feedback", json=body(item(), item(**change))), 422, "invalid")["errors"]
        assert (error["item"], error["field"]) == (1, field)
        assert named in error["message"]
        assert not list(tmp_path.iterdir())

    def test_one_id_for_two_corrections_is_refused(self, service: TestClient) -> None:
        one = item()
        (error,) = problem(service.post("/feedback", json=body(one, one)), 422, "invalid")["errors"]
        assert (error["item"], error["field"]) == (1, "id")

    def test_bodies_that_are_none_are_refused_as_elsewhere(self, service: TestClient) -> None:
        problem(service.post("/feedback", content="{}"), 415, "unsupported_type")
        headers = {"Content-Type": "application/json"}
        problem(service.post("/feedback", content="{", headers=headers), 400, "malformed")
        problem(service.post("/feedback", json=body()), 422, "invalid")
        problem(service.post("/feedback", json=body(*[item()] * 1001)), 413, "too_large")

    def test_too_many_that_wait_are_told_to_come_again(
        self, serve: Serve, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        service, go, entered, add = serve(feedback__queue_items=2), threading.Event(), threading.Event(), Store.add

        def held(store: Store, sent: Any) -> Any:
            entered.set()
            assert go.wait(60)
            return add(store, sent)

        monkeypatch.setattr(Store, "add", held)
        with ThreadPoolExecutor(1) as pool:
            # A sending that finds nothing waiting is taken, whatever its size.
            first = pool.submit(service.post, "/feedback", json=body(item(), item(), item()))
            assert entered.wait(60)
            answer = service.post("/feedback", json=body(item()))
            problem(answer, 429, "busy")
            assert answer.headers["retry-after"] == "1"
            go.set()
            assert first.result().status_code == 201
        assert service.post("/feedback", json=body(item())).status_code == 201
        assert len(Store(url).read()) == 4


class TestStoreThatFails:
    def test_it_is_named_and_classification_goes_on_and_it_is_used_when_it_is_back(
        self, service: TestClient, tmp_path: Path, url: str
    ) -> None:
        (tmp_path / "store").write_text("in the way", "utf-8")
        one = item()
        answer = service.post("/feedback", json=body(one))
        assert "feedback.url" in problem(answer, 503, "feedback_unavailable")["detail"]
        assert "retry-after" in answer.headers
        assert classify(service, FARMING)
        (tmp_path / "store").unlink()
        assert service.post("/feedback", json=body(one)).status_code == 201
        assert len(Store(url).read()) == 1

    def test_a_server_that_is_down_is_named(self, serve: Serve) -> None:
        pytest.importorskip("psycopg")
        service = serve(feedback__url="postgresql+psycopg://nobody:secret@127.0.0.1:1/none")
        answer = service.post("/feedback", json=body(item()))
        problem(answer, 503, "feedback_unavailable")
        assert "secret" not in answer.text


class TestQueue:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        file = tmp_path / "queue.jsonl"
        rows = [
            {"id": str(n), "text": text, "document": "a.txt", "topics": [{"id": "education", "probability": 0.5}],
             "reason": "拿不准 unsure", "model": "m"}
            for n, text in enumerate([FARMING, DIGITAL, "第三段。"])
        ]  # fmt: skip
        file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
        return file

    def test_it_offers_what_nobody_has_corrected_yet(self, serve: Serve, file: Path) -> None:
        service = serve(feedback__queue=file)
        assert service.get("/model").json()["feedback"] == {"enabled": True, "queue": True}
        whole = service.get("/queue").json()
        assert ([row["id"] for row in whole["items"]], whole["total"]) == (["0", "1", "2"], 3)
        assert set(whole["items"][0]) == {"id", "text", "document", "topics", "reason", "model"}
        part = service.get("/queue?offset=1&limit=1").json()
        assert ([row["text"] for row in part["items"]], part["total"]) == ([DIGITAL], 3)
        service.post("/feedback", json=body(item(text=DIGITAL)))
        left = service.get("/queue").json()
        assert ([row["id"] for row in left["items"]], left["total"]) == (["0", "2"], 2)

    def test_a_new_file_is_offered_at_once(self, serve: Serve, file: Path) -> None:
        service = serve(feedback__queue=file)
        assert service.get("/queue").json()["total"] == 3
        file.write_text(file.read_text("utf-8").splitlines()[1] + "\n", "utf-8")
        assert [row["text"] for row in service.get("/queue").json()["items"]] == [DIGITAL]

    def test_it_gives_no_more_at_once_than_a_request_may_have_and_says_so(self, serve: Serve, file: Path) -> None:
        service = serve(feedback__queue=file, serve__max_items=2)
        answer = service.get("/queue?limit=3").json()
        assert (len(answer["items"]), answer["total"]) == (2, 3)
        _, limit = service.get("/docs.json").json()["paths"]["/queue"]["get"]["parameters"]
        assert limit["description"] == "At most 2 are given."

    def test_without_a_file_it_is_empty(self, service: TestClient) -> None:
        assert service.get("/queue").json() == {"items": [], "total": 0}
        assert service.get("/model").json()["feedback"] == {"enabled": True, "queue": False}

    @pytest.mark.parametrize("content", [None, '{"text": "no queue"}\n', "no JSON"])
    def test_a_file_that_is_no_queue_is_named_in_the_log(
        self, serve: Serve, file: Path, content: str | None, caplog: pytest.LogCaptureFixture
    ) -> None:
        service = serve(feedback__queue=file)
        file.write_text(content, "utf-8") if content else file.unlink()
        problem(service.get("/queue"), 503, "feedback_unavailable")
        assert str(file) in caplog.text

    @pytest.mark.parametrize("query", ["offset=-1", "limit=0", "limit=x", "offset=٣", "limit="])
    def test_wrong_numbers_are_named(self, service: TestClient, query: str) -> None:
        (error,) = problem(service.get(f"/queue?{query}"), 422, "invalid")["errors"]
        assert error["field"] == query.partition("=")[0]


def test_the_server_gets_the_settings_of_the_section(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.db", "queue.jsonl"):
        (tmp_path / name).touch()
    flags = {"feedback.url": "sqlite:///a.db", "feedback.queue": "queue.jsonl", "feedback.enabled": False}
    for name, value in environment(load_settings(None, flags)).items():
        monkeypatch.setenv(name, value)
    seen = load_settings().feedback
    assert (seen.url, seen.queue) == (f"sqlite:///{tmp_path / 'a.db'}", tmp_path / "queue.jsonl")
    assert not seen.enabled


def test_the_example_of_the_openapi_document_is_real(service: TestClient) -> None:
    operation = service.get("/docs.json").json()["paths"]["/feedback"]["post"]
    example = operation["requestBody"]["content"]["application/json"]["example"]
    shown = operation["responses"]["201"]["content"]["application/json"]["example"]
    answer = service.post("/feedback", json=example)
    assert (answer.status_code, answer.json()) == (201, shown)
