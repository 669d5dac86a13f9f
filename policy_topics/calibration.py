"""From logits to calibrated probabilities and topics: a temperature, a bias and a threshold for each topic."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from policy_topics.errors import BundleError

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Calibration:
    """One value a topic, in the taxonomy's order; each array has shape (topics,).

    The probability of a topic is `sigmoid(logit / temperature + bias)` (Platt 1999, with the slope written as a
    temperature as in Guo et al. 2017, arXiv:1706.04599).
    """

    temperature: Floats
    bias: Floats
    threshold: Floats

    def probabilities(self, logits: Floats) -> Floats:
        """Calibrated probabilities, shape of `logits`: (…, topics)."""
        scaled = np.clip(logits / self.temperature + self.bias, -30, 30)
        return np.asarray(1 / (1 + np.exp(-scaled)), np.float32)

    def save(self, file: Path, topic_ids: tuple[str, ...]) -> None:
        """Write `calibration.json`: topic id → its three numbers."""
        rows = zip(topic_ids, self.temperature, self.bias, self.threshold, strict=True)
        content = {
            topic: {"temperature": round(float(t), 5), "bias": round(float(b), 5), "threshold": round(float(c), 5)}
            for topic, t, b, c in rows
        }
        file.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


def load_calibration(file: Path, topic_ids: tuple[str, ...]) -> Calibration:
    """Read `calibration.json`.

    Raises:
        BundleError: a topic or a number is missing, or a topic stands there that the taxonomy does not have.
    """
    try:
        content = json.loads(file.read_text("utf-8"))
        if set(content) != set(topic_ids):
            odd = ", ".join(sorted(set(content) ^ set(topic_ids)))
            raise BundleError(f"{file}: its topics are not those of the bundle's topics.yaml: {odd}")
        columns = {
            key: np.array([content[topic][key] for topic in topic_ids], np.float32)
            for key in ("temperature", "bias", "threshold")
        }
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise BundleError(f"{file}: not a calibration: {fault!r}") from fault
    return Calibration(**columns)
