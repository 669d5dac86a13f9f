"""Counts of what rows are about, small enough to keep beside each part and to add up for the summary."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from serve.archive.formats import Row
from serve.archive.scoring import Topics

CONFIDENCE_BINS = 20
MOST_SOURCES = 2000
"""Distinct sources and months that are counted each for itself; further ones count together."""

OTHERS = "…"


class Tally:
    """Counts of paragraphs: by topic, by primary topic, by month and topic, by source and topic, by confidence."""

    def __init__(self) -> None:
        self.rows = 0
        self.without_topic = 0
        self.topics: Counter[str] = Counter()
        self.primary: Counter[str] = Counter()
        self.confidence = [0] * CONFIDENCE_BINS
        self.months: dict[str, Counter[str]] = {}
        """Of each month, paragraphs by topic; under "" all paragraphs."""
        self.sources: dict[str, Counter[str]] = {}
        """The same of each source."""

    def count(self, row: Row, topics: Topics) -> None:
        self.rows += 1
        self.topics.update(topics.ids)
        if topics.ids:
            self.primary[topics.ids[0]] += 1
        else:
            self.without_topic += 1
        self.confidence[min(int(topics.confidence * CONFIDENCE_BINS), CONFIDENCE_BINS - 1)] += 1
        if row.month:
            _group(self.months, row.month).update(("", *topics.ids))
        if row.source:
            _group(self.sources, row.source).update(("", *topics.ids))

    def add(self, other: Mapping[str, Any]) -> None:
        """Add what `to_json` wrote."""
        self.rows += other["rows"]
        self.without_topic += other["without_topic"]
        self.topics.update(other["topics"])
        self.primary.update(other["primary"])
        self.confidence = [mine + its for mine, its in zip(self.confidence, other["confidence"], strict=True)]
        for groups, its in ((self.months, other["months"]), (self.sources, other["sources"])):
            for name, counts in its.items():
                _group(groups, name).update(counts)

    def to_json(self) -> str:
        return json.dumps(vars(self), ensure_ascii=False)


def _group(groups: dict[str, Counter[str]], name: str) -> Counter[str]:
    if name not in groups and len(groups) >= MOST_SOURCES:
        name = OTHERS
    return groups.setdefault(name, Counter())
