"""Pools of chunks through the model: what comes of each, and that the model does not wait for whoever takes it."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from policy_topics.classifier import Classifier
from policy_topics.engine import Ids, Logits
from serve.archive.formats import Row
from serve.archive.reading import Chunk, Finished, Message
from serve.archive.scoring import Scored, predict, score

TEXTS = ["推进农村公路建设。", "提高基本医疗保险待遇。", "加强党的纪律建设。", "——", "稳定粮食播种面积。" * 60]


def chunk(classifier: Classifier, name: str, texts: list[str]) -> Chunk:
    rows = tuple(Row(f"{name}#{index}", name, index, text, None, "") for index, text in enumerate(texts))
    return Chunk(name, name, rows, tuple(classifier.tokenise(texts)), 0)


class Counting:
    """An engine that runs as many batches as it may, and counts them."""

    name = "counting"
    streams = 2

    def __init__(self, topics: int) -> None:
        self.topics = topics
        self.batches = 0
        self.permits = threading.Semaphore(0)
        self.third = threading.Event()

    def logits(self, ids: Ids, mask: Ids) -> Logits:
        assert self.permits.acquire(timeout=10)
        self.batches += 1
        if self.batches == 3:
            self.third.set()
        return np.zeros((len(ids), self.topics), np.float32)


@pytest.fixture
def counting(classifier: Classifier) -> Counting:
    return Counting(len(classifier.bundle.taxonomy.topics))


@pytest.fixture
def counted(classifier: Classifier, counting: Counting) -> Classifier:
    return Classifier(classifier.bundle, counting, batch_tokens=1)  # each text is a batch


def test_rows_have_the_topics_that_the_classifier_gives_them(classifier: Classifier) -> None:
    finished = Finished("a", "a")
    pools: list[list[Message]] = [
        [chunk(classifier, "a", TEXTS[:3]), finished],
        [],
        [chunk(classifier, "b", TEXTS[3:4]), chunk(classifier, "c", TEXTS[4:])],
    ]

    first, second, third = score(pools, classifier)

    assert second == [] and first[1] == finished
    scored = [each for each in (*first, *third) if isinstance(each, Scored)]
    assert [row.text for each in scored for row in each.rows] == TEXTS
    topics = [each for chunk in scored for each in chunk.topics]
    for own, expected in zip(topics, classifier.classify(TEXTS), strict=True):
        assert own.ids == tuple(topic.id for topic in expected.topics)
        assert own.confidence == pytest.approx(float(expected.probabilities.max()), abs=1e-5)


def test_the_model_is_at_the_next_pool_while_the_caller_is_at_one(counted: Classifier, counting: Counting) -> None:
    counting.permits.release(4)
    pools = predict(iter([[chunk(counted, "a", TEXTS[:2])], [chunk(counted, "b", TEXTS[:2])]]), counted)
    messages, predictions = next(pools)
    assert counting.third.wait(10)  # of the second pool, which nobody has asked for
    assert len(predictions) == 2
    assert [each.name for each in messages if isinstance(each, Chunk)] == ["a"]


def test_a_caller_that_stops_does_not_wait_for_what_the_model_has_not_begun(
    counted: Classifier, counting: Counting
) -> None:
    counting.permits.release(3)
    pools = predict(iter([[chunk(counted, "a", TEXTS[:3])], [chunk(counted, "b", TEXTS[:3] * 50)]]), counted)
    next(pools)
    threading.Timer(0.2, counting.permits.release, [150]).start()
    pools.close()
    assert counting.batches <= 3 + counting.streams  # those that it was at


def test_what_the_engine_raises_is_raised(counted: Classifier, counting: Counting) -> None:
    def fail(ids: Ids, mask: Ids) -> Logits:
        raise RuntimeError("out of memory")

    counting.logits = fail  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="out of memory"):
        list(score([[chunk(counted, "a", TEXTS)]], counted))
