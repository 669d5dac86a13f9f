"""Paired bootstrap: how sure it is that one set of predictions is better than another on the same paragraphs.

Whole documents are drawn, with replacement, so that paragraphs that stand beside each other, and are alike, stay
together. Source: B. Efron, R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 8 (clusters) and 13
(percentile intervals).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from train.metrics import Labels

RESAMPLES = 2000

_AT_ONCE = 200
"""Resamples whose counts are in memory at the same time: 200 of 10,000 documents take 16 MB."""

Counts = NDArray[np.float64]
"""Correctly given, given and carried, of each topic: (…, 3, topics)."""


class Interval(BaseModel):
    """A difference, ours less theirs, and where it lies in 95 % of the resamples."""

    model_config = ConfigDict(frozen=True)

    point: float
    low: float
    high: float


class Difference(BaseModel):
    """By how much one set of predictions is better than another."""

    model_config = ConfigDict(frozen=True)

    micro_f1: Interval
    macro_f1: Interval


def paired_bootstrap(
    ours: Labels, theirs: Labels, labels: Labels, groups: NDArray[np.intp], resamples: int = RESAMPLES, seed: int = 13
) -> Difference:
    """Differences in F1 with their 95 % percentile intervals; the same input gives the same intervals.

    Args:
        ours, theirs: topics given, (paragraphs, topics).
        labels: topics carried, (paragraphs, topics).
        groups: which document each paragraph is of, 0 to documents - 1, (paragraphs,).
    """
    counts = np.stack([_counts(predicted, labels, groups) for predicted in (ours, theirs)], axis=1)
    documents = len(counts)
    flat = counts.reshape(documents, -1)
    rng = np.random.default_rng(seed)
    drawn = []
    for start in range(0, resamples, _AT_ONCE):
        size = min(_AT_ONCE, resamples - start)
        times = rng.multinomial(documents, np.full(documents, 1 / documents), size=size).astype(np.float64)
        drawn.append(_difference((times @ flat).reshape(size, *counts.shape[1:])))
    low, high = np.quantile(np.concatenate(drawn), [0.025, 0.975], axis=0)
    point = _difference(counts.sum(axis=0)[None])[0]
    micro, macro = (
        Interval(point=float(p), low=float(a), high=float(b)) for p, a, b in zip(point, low, high, strict=True)
    )
    return Difference(micro_f1=micro, macro_f1=macro)


def _counts(predicted: Labels, labels: Labels, groups: NDArray[np.intp]) -> Counts:
    """Of each document, (documents, 3, topics)."""
    of_paragraphs = np.stack([predicted & labels, predicted, labels], axis=1)
    counts = np.zeros((groups.max() + 1, *of_paragraphs.shape[1:]))
    np.add.at(counts, groups, of_paragraphs)
    return counts


def _difference(counts: Counts) -> NDArray[np.float64]:
    """Counts of both, (resamples, 2, 3, topics), to differences of micro- and macro-F1, (resamples, 2)."""
    hits, given, carried = np.moveaxis(counts, 2, 0)
    whole = given + carried
    micro = 2 * hits.sum(axis=-1) / np.maximum(whole.sum(axis=-1), 1)
    f1 = 2 * hits / np.maximum(whole, 1)
    occurs = carried > 0  # topics that a resample lacks do not count in its mean, as in `measure`
    macro = (f1 * occurs).sum(axis=-1) / np.maximum(occurs.sum(axis=-1), 1)
    both: NDArray[np.float64] = np.stack([micro, macro], axis=-1)
    return both[:, 0] - both[:, 1]
