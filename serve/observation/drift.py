"""How far what the model answers is from what it answered on dev: the population stability index.

For shares `a` of now and `e` of the reference, category by category, it is `sum((a - e) * ln(a / e))`: the symmetric
divergence of H. Jeffreys, "An invariant form for the prior probability in estimation problems", 1946. By the usual rule
(N. Siddiqi, "Credit Risk Scorecards", 2006) a model's population is stable below 0.1, changes a little up to 0.25, and
above that has changed so much that the model should be looked at.

Chance alone makes it about `(categories - 1) * (1 / n + 1 / m)` for n and m independent counts (B. Yurdakul, J.
Naranjo, "Statistical properties of the population stability index", 2020): 0.04 with 34 categories, 2,000 paragraphs
and 1,400 of dev. One long document fills much of a window with its own subjects: a high value has to last to mean
something.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from policy_topics.classifier import Prediction
from policy_topics.reference import Given, count_given

WINDOW = 2000
"""Paragraphs, the last ones, that are compared. Until there are so many there is no figure: it would be chance."""


def stability_index(now: Sequence[int], reference: Sequence[int]) -> float:
    """The index of two lists of counts, category by category, neither of them all zeros.

    A share of nothing has no logarithm: it counts as half of one in the smaller list.
    """
    least = 0.5 / min(sum(now), sum(reference))
    shares = [[max(n / sum(counts), least) for n in counts] for counts in (now, reference)]
    return float(sum((a - e) * math.log(a / e) for a, e in zip(*shares, strict=True)))


class Drift(Collector):
    """The index of the last `WINDOW` paragraphs, as Prometheus' gauges; none while there is no reference."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reference: Given | None = None
        self._last: deque[Mapping[str, float]] = deque(maxlen=WINDOW)

    def refer_to(self, reference: Given | None) -> None:
        """Begin anew, with another model's reference."""
        with self._lock:
            self._reference = reference
            self._last.clear()

    def add(self, predictions: Iterable[Prediction]) -> None:
        """Take in what a model answered; texts without a word say nothing of it."""
        if self._reference is not None:
            given = [{topic.id: topic.probability for topic in each.topics} for each in predictions if each.windows]
            with self._lock:
                self._last.extend(given)

    def figures(self) -> dict[str, float]:
        """The index by measure; empty without a reference, or until the window is full."""
        with self._lock:
            reference, last = self._reference, list(self._last)
        if reference is None or len(last) < WINDOW:
            return {}
        now = count_given(reference.topics, last)
        counts = {
            "label_mix": (_label_mix(now), _label_mix(reference)),
            "confidence": (now.confidence, reference.confidence),
        }
        return {measure: stability_index(*both) for measure, both in counts.items() if all(map(any, both))}

    def collect(self) -> Iterator[Metric]:
        gauge = GaugeMetricFamily(
            "policy_topics_drift",
            f"Population stability index of the last {WINDOW} paragraphs against dev; over 0.25: look at the model.",
            labels=["measure"],
        )
        for measure, value in self.figures().items():
            gauge.add_metric([measure], value)
        yield gauge


def _label_mix(given: Given) -> list[int]:
    return [*given.topics.values(), given.without_topic]
