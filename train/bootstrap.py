"""Paired bootstrap: how sure it is that one set of predictions is better than another on the same paragraphs.

Whole documents are drawn, with replacement, so that paragraphs that stand beside each other, and are alike, stay
together. Source: B. Efron, R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 8 (clusters) and 13
(percentile intervals).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from train.metrics import BINS, Labels, Probabilities, bin_of

RESAMPLES = 2000

_AT_ONCE = 200
"""Resamples whose counts are in memory at the same time: 200 of 10,000 documents take 16 MB."""

Counts = NDArray[np.float64]
"""As a rule: correctly given, given and carried, of each topic, (…, 3, topics)."""


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
    both = [_counts(predicted, labels, groups) for predicted in (ours, theirs)]
    micro, macro = _intervals(np.stack(both, axis=1), _micro_and_macro, resamples, seed)
    return Difference(micro_f1=micro, macro_f1=macro)


def paired_bootstrap_of_topics(
    ours: Labels, theirs: Labels, labels: Labels, groups: NDArray[np.intp], resamples: int = RESAMPLES, seed: int = 13
) -> list[Interval]:
    """Differences in the F1 of each topic, in their order; arguments as those of `paired_bootstrap`.

    Resamples without a topic say nothing of it and are left out. So every topic must be carried by some paragraph.
    """
    both = [_counts(predicted, labels, groups) for predicted in (ours, theirs)]
    return _intervals(np.stack(both, axis=1), _of_topics, resamples, seed)


def paired_bootstrap_of_calibration(
    ours: Probabilities,
    theirs: Probabilities,
    labels: Labels,
    groups: NDArray[np.intp],
    resamples: int = RESAMPLES,
    seed: int = 13,
) -> Interval:
    """The difference in the calibration error over all pairs of a paragraph and a topic, of probabilities."""
    both = [_gaps(probabilities, labels, groups) for probabilities in (ours, theirs)]
    (interval,) = _intervals(np.stack(both, axis=1), _calibration_error, resamples, seed)
    return interval


def _intervals(sums: Counts, statistic: Callable[[Counts], Counts], resamples: int, seed: int) -> list[Interval]:
    """Ours less theirs, of each figure.

    Args:
        sums: of each document, (documents, 2, …).
        statistic: from sums over documents, (resamples, 2, …), to figures, (resamples, 2, figures).
    """
    documents = len(sums)
    flat = sums.reshape(documents, -1)
    rng = np.random.default_rng(seed)
    drawn = []
    for start in range(0, resamples, _AT_ONCE):
        size = min(_AT_ONCE, resamples - start)
        times = rng.multinomial(documents, np.full(documents, 1 / documents), size=size).astype(np.float64)
        drawn.append(statistic((times @ flat).reshape(size, *sums.shape[1:])))
    figures = np.concatenate([statistic(sums.sum(axis=0)[None]), *drawn])
    return [_interval(each) for each in (figures[:, 0] - figures[:, 1]).T]


def _interval(differences: NDArray[np.float64]) -> Interval:
    """Of one figure: the difference itself, and behind it those of the resamples, NaN where it is not defined."""
    low, high = np.nanquantile(differences[1:], [0.025, 0.975])
    return Interval(point=float(differences[0]), low=float(low), high=float(high))


def _counts(predicted: Labels, labels: Labels, groups: NDArray[np.intp]) -> Counts:
    """Of each document, (documents, 3, topics)."""
    return _by_document(np.stack([predicted & labels, predicted, labels], axis=1), groups)


def _gaps(probabilities: Probabilities, labels: Labels, groups: NDArray[np.intp]) -> Counts:
    """Of each document: probability less outcome summed up in each bin, and behind the bins the number of pairs."""
    bins = bin_of(probabilities)
    gap = probabilities.astype(np.float64) - labels
    sums = np.stack([np.where(bins == each, gap, 0).sum(axis=1) for each in range(BINS)], axis=1)
    return _by_document(np.column_stack([sums, np.full(len(sums), labels.shape[1])]), groups)


def _by_document(of_paragraphs: NDArray[Any], groups: NDArray[np.intp]) -> Counts:
    sums = np.zeros((groups.max() + 1, *of_paragraphs.shape[1:]))
    np.add.at(sums, groups, of_paragraphs)
    return sums


def _micro_and_macro(counts: Counts) -> Counts:
    """Counts, (resamples, 2, 3, topics), to micro- and macro-F1, (resamples, 2, 2)."""
    hits, given, carried = np.moveaxis(counts, 2, 0)
    whole = given + carried
    micro = 2 * hits.sum(axis=-1) / np.maximum(whole.sum(axis=-1), 1)
    occurs = carried > 0  # topics that a resample lacks do not count in its mean, as in `measure`
    macro = np.nansum(_of_topics(counts), axis=-1) / np.maximum(occurs.sum(axis=-1), 1)
    return np.stack([micro, macro], axis=-1)


def _of_topics(counts: Counts) -> Counts:
    """Counts, (resamples, 2, 3, topics), to the F1 of each topic, (resamples, 2, topics); NaN where none carries it."""
    hits, given, carried = np.moveaxis(counts, 2, 0)
    f1: Counts = np.where(carried > 0, 2 * hits / np.maximum(given + carried, 1), np.nan)
    return f1


def _calibration_error(gaps: Counts) -> Counts:
    """Gaps of the bins and the number of pairs, (resamples, 2, bins + 1), to errors, (resamples, 2, 1)."""
    error: Counts = np.abs(gaps[..., :-1]).sum(axis=-1, keepdims=True) / gaps[..., -1:]
    return error
