"""`/explain`: the words that a topic rests on are those without which it is less probable."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from random import Random
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from configs.settings import EMBEDDED
from policy_topics.classifier import Classifier
from serve import explain
from serve.app import create_app
from tests.service import FARMING, problem, serving, settings

PARAGRAPHS = [
    ("会议研究部署了防汛工作，要求备足沙袋和冲锋舟，提前转移低洼地带的群众，压实值班责任。", "emergency"),
    ("补齐乡村学校寄宿条件短板，秋季开学前完成十二所学校的食堂改造，新招聘的教师优先补充到教学点。", "education"),
    ("县医院与乡镇卫生院组成医共体，药品统一采购，检查结果互认，家庭医生每月上门一次。", "health"),
    ("种粮大户每亩补贴一百二十元，秋收前修好田间道路，晾晒场地由村集体统一安排。", "agriculture"),
    ("新开通三条公交线路，延长夜班车时间，火车站广场的出租车候客区月底前改造完毕。", "transport"),
]


@pytest.fixture(scope="module")
def embedded() -> Iterator[TestClient]:
    loaded = settings()
    yield from serving(create_app(loaded, lambda: Classifier.load(EMBEDDED, loaded.engine)))


def explained(client: TestClient, text: str, topic: str) -> dict[str, Any]:
    answer = client.post("/explain", json={"text": text, "topic": topic})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def without(text: str, spans: list[dict[str, Any]]) -> str:
    left_out = {index for span in spans for index in range(span["start"], span["end"])}
    return "".join(character for index, character in enumerate(text) if index not in left_out)


def probability(client: TestClient, text: str, topic: str) -> float:
    body = {"items": [{"text": text}], "options": {"threshold": 0.0}}
    (result,) = client.post("/classify", json=body).json()["results"]
    return next(each["probability"] for each in result["topics"] if each["id"] == topic)


def log_odds(probability: float) -> float:
    inside = min(max(probability, 1e-4), 1 - 1e-4)
    return float(np.log(inside / (1 - inside)))


def test_a_weight_is_what_the_log_odds_lose_without_the_word(client: TestClient) -> None:
    answer = explained(client, FARMING, "agriculture")
    assert answer["method"] == "occlusion" and answer["topic"] == "agriculture"
    assert answer["model"].items() <= client.get("/model").json().items()
    whole = probability(client, FARMING, "agriculture")
    assert answer["probability"] == pytest.approx(whole, abs=2e-3)
    for span in answer["spans"]:
        rest = probability(client, without(FARMING, [span]), "agriculture")
        assert span["weight"] == pytest.approx(log_odds(whole) - log_odds(rest), abs=0.02)


def test_every_word_is_left_out_once_and_in_order(client: TestClient) -> None:
    spans = explained(client, FARMING, "education")["spans"]
    assert all(before["end"] <= after["start"] for before, after in itertools.pairwise(spans))
    assert without(FARMING, spans).strip("，。、") == ""


@pytest.mark.parametrize(("text", "topic"), PARAGRAPHS)
def test_removing_the_heaviest_words_costs_more_than_removing_random_ones(
    embedded: TestClient, text: str, topic: str
) -> None:
    spans = explained(embedded, text, topic)["spans"]
    heaviest = sorted(spans, key=lambda span: -span["weight"])[:3]
    chosen = [Random(seed).sample(spans, 3) for seed in range(8)]
    at_random = [log_odds(probability(embedded, without(text, words), topic)) for words in chosen]
    assert log_odds(probability(embedded, without(text, heaviest), topic)) < np.mean(at_random) - 0.5


def test_offsets_are_in_the_text_as_it_was_sent(embedded: TestClient) -> None:
    dirty = "𠮷日，會議研究部署防汛工作(fáng)，備足沙袋。"
    spans = explained(embedded, dirty, "emergency")["spans"]
    words = [dirty[span["start"] : span["end"]] for span in spans]
    assert "防汛" in words or "防汛工作" in words, words


def test_a_long_text_is_read_in_a_bounded_number_of_variants(classifier: Classifier) -> None:
    long = "".join(f"第{number}条要求抓好粮食生产和农田建设，落实到村。" for number in range(600))
    occlusion = explain.occlude(classifier, long)
    assert explain.FEWEST_READINGS <= len(occlusion.spans) <= explain.MOST_READINGS
    tokens = sum(text.tokens for text in occlusion.tokenised)
    assert tokens <= explain.MOST_TOKENS * 2
    assert occlusion.spans[0][0] < 5 and occlusion.spans[-1][1] >= len(long) - 1  # no word is passed over


@pytest.mark.parametrize("text", ["来源：稳就业工作 会议", "春耕", "春耕。"])
def test_no_word_is_left_out_with_more_than_itself(embedded: TestClient, text: str) -> None:
    # Without 会议 the first is a line that cleaning drops; without their one word the others have none.
    topic = "employment" if "就业" in text else "agriculture"
    weights = [span["weight"] for span in explained(embedded, text, topic)["spans"]]
    assert weights and max(map(abs, weights)) < 20


@pytest.mark.parametrize("text", ["", "，。！", "😀"])
def test_a_text_without_words_has_nothing_to_explain(client: TestClient, text: str) -> None:
    answer = explained(client, text, "education")
    assert answer["spans"] == [] and answer["probability"] < 0.01


def test_what_cannot_be_explained_is_named(client: TestClient, small: TestClient) -> None:
    fault = problem(client.post("/explain", json={"text": FARMING, "topic": "weather"}), 422, "invalid")
    assert fault["errors"][0]["field"] == "topic"
    fault = problem(client.post("/explain", json={"text": FARMING}), 422, "invalid")
    assert fault["errors"][0]["field"] == "topic"
    fault = problem(small.post("/explain", json={"text": "田" * 51, "topic": "agriculture"}), 422, "invalid")
    assert fault["errors"][0]["field"] == "text"
    problem(client.post("/explain", content=b"text"), 415, "unsupported_type")
    problem(client.post("/explain", content=b"{", headers={"Content-Type": "application/json"}), 400, "malformed")


def test_the_example_of_the_openapi_document_has_the_form_of_an_answer(client: TestClient) -> None:
    operation = client.get("/docs.json").json()["paths"]["/explain"]["post"]
    example = operation["requestBody"]["content"]["application/json"]["example"]
    shown = operation["responses"]["200"]["content"]["application/json"]["example"]
    answer = explained(client, example["text"], example["topic"])
    assert set(answer) == set(shown) and set(answer["spans"][0]) == set(shown["spans"][0])
