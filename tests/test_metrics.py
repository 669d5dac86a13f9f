"""Figures of quality, calibration and thresholds, against cases that can be worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from policy_topics.calibration import Calibration, load_calibration
from train.calibrate import fit_calibration, fit_thresholds
from train.metrics import calibration_error, f1_scores, measure


def test_f1_of_each_topic() -> None:
    labels = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0]], bool)
    predicted = np.array([[1, 1, 0], [1, 0, 0], [0, 1, 0]], bool)
    np.testing.assert_allclose(f1_scores(predicted, labels), [1.0, 0.5, 0.0])


def test_macro_f1_leaves_out_topics_that_do_not_occur() -> None:
    labels = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0]], bool)
    predicted = np.array([[1, 1, 0], [1, 0, 0], [0, 1, 0]], bool)
    metrics = measure(predicted.astype(np.float32), predicted, labels, ("a", "b", "c"))
    assert metrics.macro_f1 == pytest.approx(0.75)
    assert metrics.micro_f1 == pytest.approx(0.75)
    assert (metrics.topics["b"].precision, metrics.topics["b"].recall) == (0.5, 0.5)


def test_top1_hit_counts_labelled_paragraphs_alone() -> None:
    labels = np.array([[1, 0], [0, 1], [0, 0]], bool)
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.9, 0.0]], np.float32)
    assert measure(probabilities, probabilities > 0.5, labels, ("a", "b")).top1_hit == 0.5


def test_calibration_error_is_the_mean_distance_of_confidence_and_outcome() -> None:
    confidences = np.array([0.9] * 10 + [0.1] * 10, np.float32)
    outcomes = np.array([True] * 5 + [False] * 5 + [True] + [False] * 9)
    assert calibration_error(confidences, outcomes) == pytest.approx(0.2, abs=1e-6)


def test_fitted_probabilities_match_the_share_of_paragraphs_that_carry_the_topic() -> None:
    rng = np.random.default_rng(0)
    true_logits = rng.normal(-1, 2, (4000, 2))
    labels = rng.random(true_logits.shape) < 1 / (1 + np.exp(-true_logits))
    overconfident = (3 * true_logits + [1, -2]).astype(np.float32)
    calibration = fit_calibration(overconfident, labels)
    np.testing.assert_allclose(calibration.temperature, 3, rtol=0.15)
    assert calibration_error(calibration.probabilities(overconfident).ravel(), labels.ravel()) < 0.02


def test_a_threshold_is_half_of_the_best_f1_where_probabilities_are_right() -> None:
    """Lipton et al. 2014: the best threshold of calibrated probabilities is half the F1 that it comes to."""
    rng = np.random.default_rng(0)
    probabilities = rng.beta(0.3, 1.2, (20_000, 1)).astype(np.float32)
    labels = rng.random(probabilities.shape) < probabilities
    (threshold,) = fit_thresholds(probabilities, labels)
    (f1,) = f1_scores(probabilities >= threshold, labels)
    assert threshold == pytest.approx(f1 / 2, abs=0.03)


def test_a_threshold_does_not_follow_the_luck_of_a_few_labels() -> None:
    probabilities = np.linspace(0.01, 0.99, 99, dtype=np.float32)[:, None]
    lucky, other = probabilities > 0.6, probabilities > 0.2
    assert fit_thresholds(probabilities, lucky) == fit_thresholds(probabilities, other)


def test_a_topic_that_does_not_occur_keeps_the_middle_threshold() -> None:
    assert fit_thresholds(np.full((5, 1), 0.2, np.float32), np.zeros((5, 1), bool)) == pytest.approx([0.5])


def test_a_calibration_is_read_as_it_was_written(tmp_path: Path) -> None:
    values = np.array([1.5, 0.25], np.float32)
    Calibration(values, values - 1, values / 2).save(tmp_path / "calibration.json", ("a", "b"))
    read = load_calibration(tmp_path / "calibration.json", ("a", "b"))
    np.testing.assert_allclose(
        [read.temperature, read.bias, read.threshold], [values, values - 1, values / 2], atol=1e-5
    )


def test_extreme_logits_give_no_warning_and_no_nan() -> None:
    one = np.ones(1, np.float32)
    probabilities = Calibration(one, one * 0, one / 2).probabilities(np.array([[1e9], [-1e9]], np.float32))
    assert probabilities.ravel() == pytest.approx([1, 0], abs=1e-6)
