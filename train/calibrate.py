"""Calibration and thresholds, fitted on the dev split and nothing else."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from policy_topics.calibration import Calibration
from train.metrics import Labels, Probabilities

Logits = NDArray[np.float32]
"""(paragraphs, topics)."""

_PULL = 50.0
"""How strongly a topic's temperature and bias are drawn to those of all topics: worth about so many paragraphs. Dev has
some 25 to 150 of a topic; on documents held out of the fit, less than 30 costs F1, and more than 100 gains none."""
CANDIDATES = np.arange(0.10, 0.71, 0.01)
"""What a threshold can be."""


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
    """The threshold of each topic with the best expected F1, (topics,); 0.5 for a topic that does not occur.

    Expected under the calibrated probabilities themselves (Lipton, Elkan and Naryanaswamy 2014), not counted against
    the labels: the threshold that a few dozen labels happen to favour loses 0.6 points of micro-F1 and 0.9 of macro-F1
    on other documents.
    """
    scores = np.array([_expected_f1(probabilities, threshold) for threshold in CANDIDATES])
    return np.where(labels.any(axis=0), CANDIDATES[scores.argmax(axis=0)], 0.5).astype(np.float32)


def _expected_f1(probabilities: Probabilities, threshold: float) -> NDArray[np.float64]:
    """F1 of each topic at a threshold if the probabilities are right, (topics,)."""
    given = probabilities >= threshold
    right = (probabilities * given).sum(axis=0, dtype=np.float64)
    return np.asarray(2 * right / np.maximum(given.sum(axis=0) + probabilities.sum(axis=0, dtype=np.float64), 1e-9))


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
