"""How good predictions are: pure functions of probabilities and labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

Probabilities = NDArray[np.float32]
"""(paragraphs, topics), 0 to 1."""
Labels = NDArray[np.bool_]
"""(paragraphs, topics)."""

BINS = 15
"""Bins of the calibration error, as in Guo et al. 2017."""


class TopicMetrics(BaseModel):
    """One topic: `support` paragraphs carry it, `predicted` were said to."""

    model_config = ConfigDict(frozen=True)

    precision: float
    recall: float
    f1: float
    support: int
    predicted: int


class Metrics(BaseModel):
    """Quality on one set of labelled paragraphs; shares from 0 to 1."""

    model_config = ConfigDict(frozen=True)

    paragraphs: int
    micro_f1: float
    macro_f1: float
    """Mean over the topics that occur in the set."""
    top1_hit: float
    """Share of the labelled paragraphs whose most probable topic is one of their labels."""
    ece: float
    """Expected calibration error over all (paragraph, topic) pairs, 15 bins of equal width."""
    ece_top1: float
    """The same over the most probable topic of each paragraph alone."""
    brier: float
    """Mean squared error of the probabilities over all pairs."""
    topics: dict[str, TopicMetrics]


class ReliabilityBin(BaseModel):
    """Probabilities that are about the same: what they say, and what is so."""

    model_config = ConfigDict(frozen=True)

    size: int
    confidence: float
    """Mean of the probabilities."""
    outcome: float
    """Share of them that came true."""


def measure(probabilities: Probabilities, predicted: Labels, labels: Labels, topic_ids: tuple[str, ...]) -> Metrics:
    """All figures at once. `predicted`: which topics were given, (paragraphs, topics)."""
    hits = (predicted & labels).sum(axis=0)
    given, carried = predicted.sum(axis=0), labels.sum(axis=0)
    f1 = f1_scores(predicted, labels)
    best = probabilities.argmax(axis=1)
    best_hits = labels[np.arange(len(labels)), best]
    labelled = labels.any(axis=1)
    return Metrics(
        paragraphs=len(labels),
        micro_f1=_ratio(2 * hits.sum(), given.sum() + carried.sum()),
        macro_f1=float(f1[carried > 0].mean()) if carried.any() else 0.0,
        top1_hit=float(best_hits[labelled].mean()) if labelled.any() else 0.0,
        ece=calibration_error(probabilities.ravel(), labels.ravel()),
        ece_top1=calibration_error(probabilities.max(axis=1), best_hits),
        brier=float(np.mean((probabilities - labels) ** 2)),
        topics={
            topic: TopicMetrics(
                precision=_ratio(hits[i], given[i]),
                recall=_ratio(hits[i], carried[i]),
                f1=float(f1[i]),
                support=int(carried[i]),
                predicted=int(given[i]),
            )
            for i, topic in enumerate(topic_ids)
        },
    )


def f1_scores(predicted: Labels, labels: Labels) -> NDArray[np.float64]:
    """F1 of each topic, (topics,); 0 where a topic is neither carried nor given."""
    hits = (predicted & labels).sum(axis=0)
    return np.asarray(2 * hits / np.maximum(predicted.sum(axis=0) + labels.sum(axis=0), 1))


def calibration_error(confidences: NDArray[np.float32], outcomes: NDArray[np.bool_]) -> float:
    """Expected calibration error: mean distance of confidence and outcome over bins, weighted by their size."""
    bins = reliability(confidences, outcomes)
    distance = sum(each.size * abs(each.confidence - each.outcome) for each in bins)
    return distance / max(len(confidences), 1)


def reliability(confidences: NDArray[np.float32], outcomes: NDArray[np.bool_]) -> list[ReliabilityBin]:
    """The bins, of equal width, that hold anything; the lowest probabilities first."""
    bins = bin_of(confidences)
    size = np.bincount(bins, minlength=BINS)
    confidence = np.bincount(bins, weights=confidences, minlength=BINS)
    outcome = np.bincount(bins, weights=outcomes, minlength=BINS)
    return [
        ReliabilityBin(size=int(n), confidence=float(c / n), outcome=float(o / n))
        for n, c, o in zip(size, confidence, outcome, strict=True)
        if n
    ]


def bin_of(confidences: NDArray[np.float32]) -> NDArray[np.int_]:
    """The bin that each is in, 0 to `BINS` - 1; the shape stays."""
    bins: NDArray[np.int_] = np.minimum((confidences * BINS).astype(int), BINS - 1)
    return bins


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0
