"""The paired bootstrap: how sure it is that one set of predictions is better than another."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from train.bootstrap import paired_bootstrap, paired_bootstrap_of_calibration, paired_bootstrap_of_topics
from train.metrics import calibration_error, measure

RNG = np.random.default_rng(5)
LABELS = RNG.random((600, 4)) < 0.3
ALONE = np.arange(600)


def flipped(share: float, seed: int) -> NDArray[np.bool_]:
    """Predictions with a share of the pairs wrong."""
    return LABELS ^ (np.random.default_rng(seed).random(LABELS.shape) < share)


def test_the_point_is_the_difference_of_the_figures() -> None:
    ours, theirs = flipped(0.1, 1), flipped(0.2, 2)
    figures = [measure(each.astype(np.float32), each, LABELS, ("a", "b", "c", "d")) for each in (ours, theirs)]
    found = paired_bootstrap(ours, theirs, LABELS, ALONE)
    assert found.micro_f1.point == pytest.approx(figures[0].micro_f1 - figures[1].micro_f1)
    assert found.macro_f1.point == pytest.approx(figures[0].macro_f1 - figures[1].macro_f1)


def test_what_is_much_better_is_surely_better() -> None:
    found = paired_bootstrap(flipped(0.05, 1), flipped(0.25, 2), LABELS, ALONE)
    for interval in (found.micro_f1, found.macro_f1):
        assert 0 < interval.low < interval.point < interval.high


def test_models_that_are_equally_good_cannot_be_told_apart() -> None:
    found = paired_bootstrap(flipped(0.2, 1), flipped(0.2, 2), LABELS, ALONE)
    assert found.micro_f1.low < 0 < found.micro_f1.high


def test_a_model_beside_itself_has_no_difference_at_all() -> None:
    same = flipped(0.2, 1)
    found = paired_bootstrap(same, same, LABELS, ALONE)
    assert (found.macro_f1.low, found.macro_f1.point, found.macro_f1.high) == (0, 0, 0)


def test_the_same_input_gives_the_same_interval_and_swapping_turns_it_round() -> None:
    ours, theirs = flipped(0.1, 1), flipped(0.2, 2)
    once, again = (paired_bootstrap(ours, theirs, LABELS, ALONE) for _ in range(2))
    swapped = paired_bootstrap(theirs, ours, LABELS, ALONE)
    assert once == again
    assert swapped.micro_f1.low == pytest.approx(-once.micro_f1.high)


def test_paragraphs_of_one_document_count_for_less_than_as_many_documents() -> None:
    """Ten copies of a paragraph say no more than one: drawn whole, they leave the interval as wide as before."""
    ours, theirs = flipped(0.1, 1)[:60], flipped(0.2, 2)[:60]
    few = paired_bootstrap(ours, theirs, LABELS[:60], np.arange(60))
    copies = [np.repeat(each, 10, axis=0) for each in (ours, theirs, LABELS[:60])]
    whole = paired_bootstrap(*copies, groups=np.repeat(np.arange(60), 10))
    apart = paired_bootstrap(*copies, groups=np.arange(600))
    assert whole.micro_f1.high == pytest.approx(few.micro_f1.high)
    assert apart.micro_f1.high - apart.micro_f1.low < 0.5 * (whole.micro_f1.high - whole.micro_f1.low)


def test_a_topic_that_no_paragraph_carries_does_not_count() -> None:
    none = np.zeros((600, 1), bool)
    three = [np.hstack([each, none]) for each in (flipped(0.1, 1), flipped(0.2, 2), LABELS)]
    four = paired_bootstrap(flipped(0.1, 1), flipped(0.2, 2), LABELS, ALONE)
    assert paired_bootstrap(*three, groups=ALONE).macro_f1.low == pytest.approx(four.macro_f1.low)


def test_each_topic_has_an_interval_of_its_own() -> None:
    ours, theirs = flipped(0.1, 1), flipped(0.1, 1)
    ours[:, 2] = LABELS[:, 2]
    of_topics = paired_bootstrap_of_topics(ours, theirs, LABELS, ALONE)
    assert [each.low > 0 for each in of_topics] == [False, False, True, False]
    assert of_topics[0].point == 0


@pytest.mark.parametrize("documents", [1, 2, 3, 5])
def test_a_topic_that_is_lost_is_surely_worse_however_few_carry_it(documents: int) -> None:
    """Resamples without the topic are no evidence that it is as good as before."""
    labels = np.zeros((200, 2), bool)
    labels[:documents, 0] = labels[50:90, 1] = True
    ours = labels.copy()
    ours[:, 0] = False
    lost, kept = paired_bootstrap_of_topics(ours, labels, labels, np.arange(200))
    assert (lost.low, lost.point, lost.high) == (-1, -1, -1)
    assert (kept.low, kept.high) == (0, 0)


def test_worse_calibration_is_told_from_noise() -> None:
    honest = np.where(LABELS, 0.75, 0.25).astype(np.float32)
    honest = np.where(np.random.default_rng(3).random(LABELS.shape) < 0.25, 1 - honest, honest)
    boastful = np.where(honest > 0.5, 0.95, 0.05).astype(np.float32)
    found = paired_bootstrap_of_calibration(boastful, honest, LABELS, ALONE)
    expected = [calibration_error(each.ravel(), LABELS.ravel()) for each in (boastful, honest)]
    assert found.point == pytest.approx(expected[0] - expected[1], abs=1e-6)
    assert found.low > 0
