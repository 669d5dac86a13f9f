"""Losses of fine-tuning: of logits and labels, (paragraphs, topics), where a label may be a teacher's probability."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

_FOCUS, _MARGIN = 4, 0.05
"""Of negatives, as Ridnik et al. 2021 recommend; their focus of positives is 0."""


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean binary cross-entropy."""
    return functional.binary_cross_entropy_with_logits(logits, labels)


def asymmetric(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Negatives that are easy count less, and those with a probability under the margin not at all.

    Most topics of most paragraphs are easy negatives, and in cross-entropy they outweigh the few positives (Ridnik et
    al. 2021, "Asymmetric Loss For Multi-Label Classification", arXiv:2009.14119). A paragraph whose labels are
    probabilities gets cross-entropy, which alone is least where the model gives those.

    Of a negative that the model takes for a sure positive there is little gradient: the authors count on such being
    labelled wrongly.
    """
    shifted = (logits.sigmoid() - _MARGIN).clamp(min=0)
    of_negatives = -(shifted**_FOCUS) * torch.log1p(-shifted)
    of_labels = torch.where(labels > 0.5, -functional.logsigmoid(logits), of_negatives)
    of_probabilities = functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    are_labels = ((labels == 0) | (labels == 1)).all(dim=1, keepdim=True)
    return torch.where(are_labels, of_labels, of_probabilities).mean()


def for_trainer(loss: Loss) -> Callable[..., torch.Tensor]:
    """A loss in the form that the trainer of `transformers` calls."""

    def of_outputs(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
        return loss(outputs.logits.float(), labels.float())

    return of_outputs


LOSSES: dict[str, Loss] = {"asymmetric": asymmetric, "cross_entropy": cross_entropy}
