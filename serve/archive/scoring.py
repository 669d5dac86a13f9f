"""Chunks of tokens to chunks of topics: the step that runs the model, the same on this machine and on Ray."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from policy_topics.classifier import Classifier, Prediction, split_by_text
from policy_topics.engine import batches_of_one_width
from serve.archive.formats import Row
from serve.archive.reading import Chunk, Finished, Message, Skipped, SourceDone


@dataclass(frozen=True, slots=True)
class Topics:
    """What a row is about.

    Attributes:
        ids: its topics, the most probable first.
        probabilities: theirs.
        confidence: probability of the most probable topic, over its threshold or not.
    """

    ids: tuple[str, ...]
    probabilities: tuple[float, ...]
    confidence: float


@dataclass(frozen=True, slots=True)
class Scored:
    """A chunk's rows with their topics; see `Chunk`."""

    name: str
    sha256: str
    rows: tuple[Row, ...]
    topics: tuple[Topics, ...]
    position: int


Result = Scored | Finished | Skipped | SourceDone


def score(pools: Iterable[Sequence[Message]], classifier: Classifier) -> Generator[list[Result]]:
    """The messages of each pool in their order, chunks scored. The larger the pools, the less padding."""
    for messages, predicted in predict(pools, classifier):
        topics = map(_topics, predicted)
        yield [
            Scored(each.name, each.sha256, each.rows, tuple(islice(topics, len(each.rows))), each.position)
            if isinstance(each, Chunk)
            else each
            for each in messages
        ]


def predict(
    pools: Iterable[Sequence[Message]], classifier: Classifier
) -> Generator[tuple[Sequence[Message], list[Prediction]]]:
    """Each pool with what the model makes of the rows of its chunks, in their order.

    The model is at the next pool while the caller is at this one, so that none of its threads waits for the caller.
    """
    threads = ThreadPoolExecutor(classifier.engine.streams)
    try:
        running: _Running | None = None
        for messages in pools:
            following = _Running(messages, classifier, threads)
            if running:
                yield running.messages, running.predictions()
            running = following
        if running:
            yield running.messages, running.predictions()
    finally:
        threads.shutdown(cancel_futures=True)


class _Running:
    """A pool that the model is at."""

    def __init__(self, messages: Sequence[Message], classifier: Classifier, threads: Executor) -> None:
        self.messages = messages
        self._classifier = classifier
        self._texts = [text for each in messages if isinstance(each, Chunk) for text in each.tokenised]
        # How much a window is padded can change its logits in the third digit, and so, once in some thousand
        # paragraphs, whether a topic is over its threshold. A run that was resumed has other neighbours than one that
        # was not: to give the same rows, each window is padded by its own length alone. With OpenVINO that makes
        # results exact.
        windows = [window for text in self._texts for window in text.windows]
        self._finish = classifier.begin(windows, threads, batches_of_one_width)

    def predictions(self) -> list[Prediction]:
        """Those of the pool's rows, once the model is done."""
        return self._classifier.decode(split_by_text(self._finish(), self._texts), self._texts)


def _topics(prediction: Prediction) -> Topics:
    return Topics(
        tuple(topic.id for topic in prediction.topics),
        tuple(topic.probability for topic in prediction.topics),
        float(prediction.probabilities.max()),
    )
