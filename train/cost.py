"""What classifying costs on this machine."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from policy_topics.classifier import Classifier

_MOST_TOGETHER = 2000
_MOST_ALONE = 200


class Cost(BaseModel):
    """Time from text to topics, cleaning and tokenising included."""

    model_config = ConfigDict(frozen=True)

    paragraphs_per_second: float
    """Many at a time, in batches."""
    ms_per_paragraph: float
    """The same, in milliseconds."""
    ms_alone: float
    """Median of paragraphs that come one at a time."""
    paragraphs: int
    """Timed together."""
    processor: str
    threads: int
    """That the engine may use."""
    engine: str


def measure_cost(classifier: Classifier, texts: Sequence[str], threads: int) -> Cost:
    """Time the classifier on an even sample of the very texts that it is judged on.

    It runs on the sample once before: an engine prepares for each shape of batch when it first meets it.
    """
    together, alone = _sample(texts, _MOST_TOGETHER), _sample(texts, _MOST_ALONE)
    classifier.classify(together)
    seconds = _seconds(classifier, together)
    for text in alone:
        classifier.classify([text])
    return Cost(
        paragraphs_per_second=len(together) / seconds,
        ms_per_paragraph=1000 * seconds / len(together),
        ms_alone=1000 * statistics.median(_seconds(classifier, [text]) for text in alone),
        paragraphs=len(together),
        processor=processor(),
        threads=threads,
        engine=classifier.engine.name,
    )


def processor() -> str:
    """The processor's name for people."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def _sample(texts: Sequence[str], most: int) -> list[str]:
    return list(texts[:: -(-len(texts) // most)])


def _seconds(classifier: Classifier, texts: Sequence[str]) -> float:
    start = time.perf_counter()
    classifier.classify(texts)
    return time.perf_counter() - start
