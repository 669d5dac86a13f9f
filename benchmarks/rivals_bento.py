"""BentoML's own batching around our classifier. Started by `benchmarks.servers`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import bentoml

from configs.settings import load_settings
from policy_topics.classifier import Classifier


@bentoml.service(workers=1)
class Batching:
    def __init__(self) -> None:
        engine = load_settings(None, {"engine.threads": int(os.environ["RIVAL_THREADS"])}).engine
        self._classifier = Classifier.load(Path(os.environ["RIVAL_BUNDLE"]), engine)

    @bentoml.api(batchable=True)  # type: ignore[untyped-decorator]
    def classify(self, texts: list[str]) -> list[dict[str, Any]]:
        return [
            {"primary": each.primary, "topics": [{"id": t.id, "probability": t.probability} for t in each.topics]}
            for each in self._classifier.classify(texts)
        ]
