"""How a model answered on dev: which topics it gave and how sure it was. A service is held against that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

REFERENCE = "reference"
"""Its key among the figures of a split in a bundle's `metrics.json`."""

BINS = 10
"""Bins of equal width that the probabilities of primary topics are counted in."""


class Given(BaseModel):
    """What some paragraphs were given, as counts.

    Attributes:
        paragraphs: how many they are.
        topics: how many of them were given each topic.
        without_topic: how many were given none.
        confidence: how many had a primary topic with a probability in each of `BINS` bins, the lowest first.
    """

    model_config = ConfigDict(frozen=True)

    paragraphs: int
    topics: dict[str, int]
    without_topic: int
    confidence: tuple[int, ...]


def count_given(topic_ids: Iterable[str], paragraphs: Sequence[Mapping[str, float]]) -> Given:
    """Count, for each paragraph, the topics that it was given with their probabilities."""
    topics, bins = Counter[str](), Counter[int]()
    for probabilities in paragraphs:
        topics.update(probabilities.keys())
        if probabilities:
            bins[bin_of(max(probabilities.values()))] += 1
    return Given(
        paragraphs=len(paragraphs),
        topics={topic: topics[topic] for topic in topic_ids},
        without_topic=len(paragraphs) - bins.total(),
        confidence=tuple(bins[i] for i in range(BINS)),
    )


def bin_of(probability: float) -> int:
    """The bin of a probability, 0 to `BINS` - 1."""
    return min(int(probability * BINS), BINS - 1)


def reference_of(figures: Mapping[str, Any]) -> Given | None:
    """The reference in a bundle's `metrics.json`; None in those of bundles made before there was one."""
    found = figures.get("dev", {}).get(REFERENCE)
    return None if found is None else Given.model_validate(found)
