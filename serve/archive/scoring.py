"""Chunks of tokens to chunks of topics: the step that runs the model, the same on this machine and on Ray."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from policy_topics.classifier import Classifier, Prediction
from policy_topics.engine import Logits, batches_of_one_width
from policy_topics.tokeniser import Tokenised, Window
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
    first: int
    rows: tuple[Row, ...]
    topics: tuple[Topics, ...]
    position: int


Result = Scored | Finished | Skipped | SourceDone


def score(messages: Sequence[Message], classifier: Classifier) -> list[Result]:
    """Messages in their order, chunks scored. The more chunks at once, the less padding."""
    topics = (
        Topics(
            tuple(topic.id for topic in prediction.topics),
            tuple(topic.probability for topic in prediction.topics),
            float(prediction.probabilities.max()),
        )
        for prediction in predictions(messages, classifier)
    )
    return [
        Scored(each.name, each.sha256, each.first, each.rows, tuple(next(topics) for _ in each.rows), each.position)
        if isinstance(each, Chunk)
        else each
        for each in messages
    ]


def predictions(messages: Sequence[Message], classifier: Classifier) -> Iterator[Prediction]:
    """What the model makes of the rows of all chunks, in their order."""
    tokenised: list[Tokenised] = [text for each in messages if isinstance(each, Chunk) for text in each.tokenised]
    ends = np.cumsum([len(text.windows) for text in tokenised])
    logits = _logits([window for text in tokenised for window in text.windows], classifier)
    for own, text in zip(np.split(logits, ends[:-1]) if tokenised else (), tokenised, strict=True):
        yield classifier.decode(own, text.tokens)


def _logits(windows: Sequence[Window], classifier: Classifier) -> Logits:
    """Logits of windows, (windows, topics), in their order, whatever the others are.

    How much a window is padded can change its logits in the third digit, and so, once in some thousand paragraphs,
    whether a topic is over its threshold. A run that was resumed has other neighbours than one that was not: to give
    the same rows, each window is padded by its own length alone. With OpenVINO that makes results exact.
    """
    return classifier.run(windows, batches_of_one_width)
