"""The losses of fine-tuning: what each counts, and where each is least."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from train.losses import LOSSES, asymmetric, cross_entropy

NOTHING, EVERYTHING = torch.zeros(1, 3), torch.ones(1, 3)


def test_the_asymmetric_loss_lets_easy_negatives_go() -> None:
    assert asymmetric(torch.full((1, 3), -3.0), NOTHING) == 0  # a probability of 0.047
    assert 0 < asymmetric(torch.full((1, 3), -1.0), NOTHING) < 0.01
    assert asymmetric(torch.full((1, 3), 5.0), NOTHING) > 2  # a negative that is taken for a positive


def test_the_asymmetric_loss_keeps_positives() -> None:
    missed = torch.full((1, 3), -3.0)
    plain = functional.binary_cross_entropy_with_logits(missed, EVERYTHING)
    assert asymmetric(missed, EVERYTHING) == pytest.approx(float(plain))


def test_paragraphs_with_probabilities_for_labels_get_cross_entropy() -> None:
    logits = torch.tensor([[-2.0, 0.5, 1.0], [0.3, -0.3, 2.0]])
    taught = torch.tensor([[0.1, 0.6, 1.0], [1.0, 0.0, 0.0]])
    apart = asymmetric(logits[1:], taught[1:]) + cross_entropy(logits[:1], taught[:1])
    assert asymmetric(logits, taught) == pytest.approx(float(apart / 2))


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_has_gradients_however_sure_the_model_is(name: str) -> None:
    logits = torch.tensor([[-100.0, 100.0, 0.0]], requires_grad=True)
    LOSSES[name](logits, torch.tensor([[1.0, 0.0, 1.0]])).backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
