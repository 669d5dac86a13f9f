"""Calibration and thresholds, fitted on the dev split and nothing else."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from policy_topics.calibration import Calibration
from train.metrics import Labels, Probabilities, f1_scores

Logits = NDArray[np.float32]
"""(paragraphs, topics)."""

_PULL = 3.0
"""How strongly a topic's temperature and bias are drawn to those of all topics: worth about so many paragraphs."""
_CANDIDATES = np.arange(0.10, 0.71, 0.01)
_SMOOTHING = 5
"""F1 at a threshold is averaged with that of so many neighbours on each side: dev has some 25 to 150 paragraphs of a
topic, and the single best threshold among them is luck."""


def fit_calibration(logits: Logits, labels: Labels) -> Calibration:
    """Temperature, bias and threshold of every topic."""
    shared = _fit(logits.ravel(), labels.ravel(), np.zeros(2), pull=0.0)
    fitted = np.array([_fit(logits[:, i], labels[:, i], shared, _PULL) for i in range(logits.shape[1])])
    calibration = Calibration(
        temperature=np.exp(fitted[:, 0]).astype(np.float32),
        bias=fitted[:, 1].astype(np.float32),
        threshold=np.full(logits.shape[1], 0.5, np.float32),
    )
    thresholds = fit_thresholds(calibration.probabilities(logits), labels)
    return Calibration(calibration.temperature, calibration.bias, thresholds)


def fit_thresholds(probabilities: Probabilities, labels: Labels) -> NDArray[np.float32]:
    """The threshold of each topic with the best smoothed F1, (topics,); 0.5 for a topic that does not occur."""
    scores = np.array([f1_scores(probabilities >= threshold, labels) for threshold in _CANDIDATES])
    padded = np.pad(scores, ((_SMOOTHING, _SMOOTHING), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * _SMOOTHING + 1, axis=0)
    best = _CANDIDATES[windows.mean(axis=-1).argmax(axis=0)]
    return np.where(labels.any(axis=0), best, 0.5).astype(np.float32)


def _fit(logits: Logits, outcomes: NDArray[np.bool_], prior: NDArray[np.float64], pull: float) -> NDArray[np.float64]:
    """(log temperature, bias) of least cross-entropy, drawn to `prior`."""
    x, y = logits.astype(np.float64), outcomes.astype(np.float64)

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        slope = np.exp(-parameters[0])
        z = slope * x + parameters[1]
        residual = 1 / (1 + np.exp(-np.clip(z, -30, 30))) - y
        away = parameters - prior
        value = float((np.logaddexp(0, z) - y * z).sum() + pull * (away**2).sum())
        gradient = np.array([-(residual * slope * x).sum(), residual.sum()]) + 2 * pull * away
        return value, gradient

    bounds = [(np.log(0.2), np.log(5.0)), (-6.0, 6.0)]
    return np.asarray(minimize(loss, prior, jac=True, method="L-BFGS-B", bounds=bounds).x)
