"""The losses of fine-tuning: what each counts, and where each is least."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import EvalPrediction

from configs.settings import FinetuneSettings, Settings
from tests.little_training import TAXONOMY
from train.dataset import as_dataset, read
from train.finetune import _macro_f1, finetune
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
def test_gradients_are_finite_however_sure_the_model_is_and_reach_missed_positives(name: str) -> None:
    logits = torch.tensor([[-100.0, 100.0, 0.0]], requires_grad=True)
    LOSSES[name](logits, torch.tensor([[1.0, 0.0, 1.0]])).backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[0, 0] < -0.3


@pytest.mark.parametrize("name", LOSSES)
def test_a_training_has_the_loss_of_its_settings(
    little: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    asked: list[str] = []
    for each, loss in LOSSES.items():
        monkeypatch.setitem(LOSSES, each, lambda *both, each=each, loss=loss: asked.append(each) or loss(*both))
    data = [as_dataset(read(files, TAXONOMY), TAXONOMY) for files in (little.data.files, little.data.dev_files)]
    finetune(*data, TAXONOMY, little.finetune.model_copy(update={"epochs": 1, "loss": name}), tmp_path)
    assert set(asked) == {name}


def test_the_settings_know_every_loss() -> None:
    assert set(get_args(FinetuneSettings.model_fields["loss"].annotation)) == set(LOSSES)


def test_the_figure_that_stops_a_training_is_of_calibrated_probabilities() -> None:
    rng = np.random.default_rng(0)
    labels = rng.random((400, 3)) < 0.3
    logits = np.where(labels, 2, -2) + rng.normal(0, 2, labels.shape)
    figure, shifted = (_macro_f1(EvalPrediction(each, labels))["macro_f1"] for each in (logits, logits + 6))
    assert figure > 0.6
    assert shifted == pytest.approx(figure, abs=0.02)
