"""What those who run the service see of it: metrics, drift, and the request log."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from configs.settings import load_settings
from policy_topics.bundle import Provenance, write_manifest
from policy_topics.classifier import Classifier, Prediction, TopicProbability
from policy_topics.reference import Given, count_given, reference_of
from serve.access.keys import add_key
from serve.app import create_app
from serve.observation.drift import WINDOW, Drift, stability_index
from tests.service import DIGITAL, FARMING, classify, serving, settings
from tests.tiny import MAX_TOKENS, tiny_bundle

SECRET = "机密"


@pytest.fixture
def fresh(classifier: Classifier) -> Iterator[TestClient]:
    """A service that nothing has been asked yet."""
    yield from serving(create_app(settings(), lambda: classifier))


def value(client: TestClient, name: str, **labels: str) -> float | None:
    """One figure of /metrics; None if it is not there."""
    for family in text_string_to_metric_families(client.get("/metrics").text):
        for sample in family.samples:
            if sample.name == f"policy_topics_{name}" and labels.items() <= sample.labels.items():
                return float(sample.value)
    return None


class TestMetrics:
    def test_a_request_is_counted_stage_by_stage(self, fresh: TestClient) -> None:
        classify(fresh, FARMING)
        for stage in ("read", "tokenise", "wait", "run", "decode"):
            assert value(fresh, "stage_seconds_count", stage=stage) == 1, stage
        assert value(fresh, "stage_seconds_count", stage="segment") == 0
        fresh.post("/classify_document", json={"text": FARMING})
        assert value(fresh, "stage_seconds_count", stage="segment") == 1

    def test_the_stages_of_a_request_make_up_its_time(self, fresh: TestClient) -> None:
        classify(fresh, *[FARMING * 3] * 50)
        stages = [value(fresh, "stage_seconds_sum", stage=s) for s in ("read", "tokenise", "wait", "run", "decode")]
        whole = value(fresh, "request_seconds_sum", path="/classify")
        assert whole is not None
        assert 0.5 * whole < sum(each or 0 for each in stages) <= whole

    def test_a_batch_is_seen_with_its_padding(self, fresh: TestClient, classifier: Classifier) -> None:
        (text,) = classifier.tokenise([FARMING])
        padded = math.ceil(text.tokens / 8) * 8
        classify(fresh, FARMING)
        assert value(fresh, "batch_tokens_sum") == value(fresh, "tokens_total") == text.tokens
        assert value(fresh, "padding_tokens_total") == padded - text.tokens
        assert value(fresh, "batch_fill_sum") == pytest.approx(padded / settings().engine.batch_tokens)

    def test_what_the_model_said_is_counted_whatever_was_asked_for(
        self, fresh: TestClient, classifier: Classifier
    ) -> None:
        (prediction,) = classifier.classify([FARMING])
        classify(fresh, FARMING, "。", threshold=1.0, top_k=1)
        assert value(fresh, "paragraphs_total") == 2
        assert value(fresh, "paragraphs_without_topic_total") == 1 + (not prediction.topics)
        for topic in classifier.bundle.taxonomy.ids:
            given = topic in {each.id for each in prediction.topics}
            assert value(fresh, "topics_total", topic=topic) == given
        assert value(fresh, "confidence_count") == bool(prediction.topics)
        assert value(fresh, "confidence_sum") == (prediction.topics[0].probability if prediction.topics else 0)

    def test_texts_read_in_several_windows_are_counted(self, fresh: TestClient) -> None:
        classify(fresh, FARMING, FARMING * 20)
        assert value(fresh, "paragraphs_long_total") == 1

    def test_errors_are_counted_by_code(self, fresh: TestClient) -> None:
        assert value(fresh, "errors_total", code="invalid") == 0  # there before the first, so that a rise is seen
        fresh.post("/classify", json={"items": 1})
        fresh.get("/nowhere")
        fresh.post("/classify", content=b"x" * (settings().serve.max_body_bytes + 1))
        for code in ("invalid", "not_found", "too_large"):
            assert value(fresh, "errors_total", code=code) == 1, code
        assert value(fresh, "errors_total", code="internal") == 0

    def test_a_fault_of_the_service_is_an_error_too(
        self, fresh: TestClient, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(classifier, "decode", lambda *_: 1 / 0)
        fresh.post("/classify", json={"items": [{"text": FARMING}]})
        assert value(fresh, "errors_total", code="internal") == 1
        assert value(fresh, "requests_total", path="/classify", status="500") == 1


class TestDrift:
    def test_the_index_is_as_defined(self) -> None:
        now, reference = [30, 70], [50, 50]
        by_hand = (0.3 - 0.5) * math.log(0.3 / 0.5) + (0.7 - 0.5) * math.log(0.7 / 0.5)
        assert stability_index(now, reference) == pytest.approx(by_hand)
        assert stability_index([100, 0, 100], [5, 0, 5]) == 0

    def test_a_category_that_is_empty_on_one_side_counts_and_is_finite(self) -> None:
        assert 0.25 < stability_index([0, 100], [50, 50]) < 10

    def test_answers_like_those_on_dev_do_not_drift_and_others_do(self) -> None:
        reference = Given(paragraphs=100, topics={"a": 60, "b": 20}, without_topic=20, confidence=(0,) * 8 + (40, 40))
        drift = Drift()
        drift.refer_to(reference)
        alike = [("a", 0.85)] * 30 + [("a", 0.95)] * 30 + [("b", 0.85)] * 10 + [("b", 0.95)] * 10 + [None] * 20
        drift.add([prediction(each) for each in alike * (WINDOW // 100)])
        assert all(each < 0.1 for each in drift.figures().values())
        drift.add([prediction(("b", 0.55))] * (WINDOW // 2))
        figures = drift.figures()
        assert set(figures) == {"label_mix", "confidence"}
        assert all(each > 0.25 for each in figures.values())

    def test_few_paragraphs_and_those_without_words_make_no_figure(self) -> None:
        drift = Drift()
        drift.refer_to(Given(paragraphs=1, topics={"a": 1}, without_topic=0, confidence=(0,) * 9 + (1,)))
        drift.add([prediction(("a", 0.9))] * (WINDOW - 1))
        drift.add([Prediction(np.zeros(1, np.float32), (), tokens=0, windows=0)] * 5)
        assert drift.figures() == {}
        drift.add([prediction(("a", 0.9))])
        assert drift.figures()

    def test_paragraphs_without_any_topic_have_a_mix_and_no_confidence(self) -> None:
        drift = Drift()
        drift.refer_to(Given(paragraphs=1, topics={"a": 1}, without_topic=0, confidence=(0,) * 9 + (1,)))
        drift.add([prediction(None)] * WINDOW)
        assert set(drift.figures()) == {"label_mix"}

    def test_counts_of_a_reference_add_up(self) -> None:
        given = count_given(("a", "b", "c"), [{"a": 0.91, "b": 0.4}, {}, {"b": 1.0}])
        assert given.topics == {"a": 1, "b": 2, "c": 0}
        assert (given.paragraphs, given.without_topic) == (3, 1)
        assert given.confidence == (0,) * 9 + (2,)

    def test_a_bundle_without_a_reference_serves_and_has_no_figure(self, fresh: TestClient) -> None:
        classify(fresh, *[FARMING] * 10)
        assert value(fresh, "drift", measure="label_mix") is None

    def test_a_bundle_with_one_shows_the_figures(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("serve.observation.drift.WINDOW", 4)
        folder = tiny_bundle(tmp_path / "tiny")
        classifier = Classifier.load(folder, load_settings().engine)
        said = classifier.classify([FARMING, DIGITAL])
        given = count_given(classifier.bundle.taxonomy.ids, [{t.id: t.probability for t in p.topics} for p in said])
        (folder / "metrics.json").write_text(json.dumps({"dev": {"reference": given.model_dump()}}), "utf-8")
        write_manifest(folder, Provenance("tiny", MAX_TOKENS, "none", parent=None), "fp32")
        measured = Classifier.load(folder, load_settings().engine)
        assert reference_of(measured.bundle.metrics()) == given
        for client in serving(create_app(settings(), lambda: measured)):
            classify(client, FARMING, DIGITAL, FARMING)
            assert value(client, "drift") is None
            classify(client, DIGITAL)
            assert value(client, "drift", measure="label_mix") == pytest.approx(0, abs=0.1)
            assert value(client, "drift", measure="confidence") is not None


def prediction(given: tuple[str, float] | None) -> Prediction:
    topics = (TopicProbability(*given),) if given else ()
    return Prediction(np.zeros(2, np.float32), topics, tokens=3, windows=1)


class TestLog:
    def log(self, capfd: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
        return [json.loads(line) for line in capfd.readouterr().err.splitlines() if line.startswith('{"time"')]

    def test_each_request_has_one_line(self, fresh: TestClient, capfd: pytest.CaptureFixture[str]) -> None:
        self.log(capfd)
        classify(fresh, FARMING, DIGITAL)
        fresh.post("/classify", json={})
        first, second = self.log(capfd)
        assert (first["method"], first["path"], first["status"], first["code"]) == ("POST", "/classify", 200, None)
        assert first["paragraphs"] == 2 and first["tokens"] and first["milliseconds"]
        assert (second["status"], second["code"], second["paragraphs"]) == (422, "invalid", 0)

    def test_no_text_is_in_it(self, fresh: TestClient, capfd: pytest.CaptureFixture[str]) -> None:
        fresh.post("/classify", json={"items": [{"id": SECRET, "text": SECRET}]}, params={"q": SECRET})
        fresh.post("/classify", json={"items": [{"text": SECRET, SECRET: 1}]})
        fresh.post("/classify", content=SECRET.encode(), headers={"Content-Type": "application/json"})
        fresh.get(f"/{SECRET}")
        fresh.post("/classify_document", files={"file": (f"{SECRET}.txt", SECRET.encode())})
        written = capfd.readouterr()
        assert written.err.count('{"time"') >= 5
        assert SECRET not in written.err + written.out

    def test_probes_and_scrapes_are_left_out(self, fresh: TestClient, capfd: pytest.CaptureFixture[str]) -> None:
        self.log(capfd)
        for path in ("/livez", "/readyz", "/metrics"):
            fresh.get(path)
        assert self.log(capfd) == []

    def test_it_names_the_key_and_never_shows_it(
        self, classifier: Classifier, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        _, key = add_key(tmp_path / "keys.json", "统计处")
        asking = settings(keys="required", keys_file=tmp_path / "keys.json")
        for client in serving(create_app(asking, lambda: classifier)):
            client.get("/topics", headers={"Authorization": f"Bearer {key}"})
            client.get("/topics", headers={"Authorization": "Bearer wrong"})
        written = capfd.readouterr().err
        let_in, refused = [json.loads(line) for line in written.splitlines() if line.startswith('{"time"')]
        assert (let_in["key"], refused["key"], refused["code"]) == ("统计处", None, "unauthorized")
        assert key not in written and "wrong" not in written

    def test_it_can_be_switched_off(self, classifier: Classifier, capfd: pytest.CaptureFixture[str]) -> None:
        for client in serving(create_app(settings(log="off"), lambda: classifier)):
            classify(client, FARMING)
        assert self.log(capfd) == []
