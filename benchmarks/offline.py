"""What the library says of texts, to compare the service's answers with."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from configs.settings import Settings
from policy_topics.classifier import Classifier, Prediction

AGREE = 0.01
"""Difference of probabilities that is none: sums in bf16 come out a little different in batches of another shape (3 of
509 texts, by up to 0.004)."""


class Offline:
    """What the library says of each text, by version."""

    def __init__(self, bundles: Sequence[Path], texts: Sequence[str], settings: Settings) -> None:
        self._known: dict[str, tuple[Classifier, list[Prediction]]] = {}
        for bundle in bundles:
            classifier = Classifier.load(bundle, settings.engine)
            self._known[classifier.bundle.version] = classifier, classifier.classify(texts)

    def agrees(self, number: int, answer: str) -> bool:
        """Whether an answer is that of one version, for the text of this number."""
        body = json.loads(answer)
        classifier, predictions = self._known[body["model"]["version"]]
        (result,) = body["results"]
        given = {topic["id"]: topic["probability"] for topic in result["topics"]}
        prediction = predictions[number]
        expected = dict(zip(classifier.bundle.taxonomy.ids, prediction.probabilities.tolist(), strict=True))
        sure = {topic.id for topic in prediction.topics} - self._near(classifier, prediction)
        return sure <= given.keys() and all(abs(expected[topic] - p) <= AGREE for topic, p in given.items())

    def versions(self, answers: Iterable[str]) -> set[str]:
        return {json.loads(answer)["model"]["version"] for answer in answers}

    def _near(self, classifier: Classifier, prediction: Prediction) -> set[str]:
        """Topics so near to their threshold, or to the fifth place, that either is right."""
        bundle = classifier.bundle
        near = np.abs(prediction.probabilities - bundle.calibration.threshold) <= AGREE
        last = min((topic.probability for topic in prediction.topics), default=0.0)
        near |= np.abs(prediction.probabilities - last) <= 2 * AGREE
        return {topic for topic, close in zip(bundle.taxonomy.ids, near.tolist(), strict=True) if close}
