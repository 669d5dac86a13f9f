"""ModernBERT without padding: the tokens of a batch in one row, each attending to those of its own window alone.

All that is not attention works token by token, so what padding costs is saved there as a whole; attention takes the
windows as a jagged tensor, for which PyTorch has kernels on a GPU that skip the padding as well. It is the
idea of Portes et al. 2023, "MosaicBERT" (arXiv:2312.17482), without a kernel of our own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional
from transformers import AttentionInterface

NAME = "policy_topics_unpadded"
"""Of the attention, to transformers."""


@dataclass(frozen=True, slots=True)
class Windows:
    """Where each window of a batch is in the one row: `offsets` has (windows + 1) ends, the first of them 0."""

    offsets: torch.Tensor
    shortest: int
    longest: int


def can_run(config: Any) -> bool:
    """Whether a model is a ModernBERT whose layers all see the whole window."""
    return config.model_type == "modernbert" and set(config.layer_types) == {"full_attention"}


class Unpadded:
    """A ModernBERT classifier that is given padded batches and runs what is not padding.

    Args:
        model: `ModernBertForSequenceClassification`, see `can_run`. Its attention is changed in place.
    """

    def __init__(self, model: Any) -> None:
        AttentionInterface.register(NAME, _attention)
        model.config._attn_implementation = NAME
        self._model = model

    def logits(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Token ids and attention mask (1 = token), both (batch, tokens), to logits (batch, topics)."""
        lengths = mask.sum(dim=1)
        offsets = functional.pad(lengths.cumsum(0), (1, 0))
        windows = Windows(offsets, int(lengths.min()), int(lengths.max()))
        positions = (mask.cumsum(dim=1) - 1)[mask.bool()]
        hidden = self._model.model(
            input_ids=ids[mask.bool()][None],
            position_ids=positions[None],
            attention_mask=dict.fromkeys(("full_attention", "sliding_attention")),  # none is to be made
            windows=windows,
        ).last_hidden_state[0]
        pooled = self._model.head(self._pool(hidden, offsets))
        logits: torch.Tensor = self._model.classifier(pooled)
        return logits

    def _pool(self, hidden: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        """(tokens, hidden size) to (windows, hidden size), as the model pools."""
        if self._model.config.classifier_pooling == "cls":
            return hidden[offsets[:-1]]
        lengths = offsets.diff()
        sums = hidden.new_zeros(len(lengths), hidden.shape[1], dtype=torch.float32)
        sums.index_add_(0, torch.repeat_interleave(lengths), hidden.float())
        return (sums / lengths[:, None]).to(hidden.dtype)


def _attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: None,
    *,
    windows: Windows,
    scaling: float,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention within each window: (1, heads, tokens, size of a head) to (1, tokens, heads, size of a head)."""
    attended = functional.scaled_dot_product_attention(
        _jagged(query, windows), _jagged(key, windows), _jagged(value, windows), scale=scaling
    )
    return attended.transpose(1, 2).values()[None], None


def _jagged(heads: torch.Tensor, windows: Windows) -> torch.Tensor:
    """(1, heads, tokens, size of a head) to (windows, heads, tokens of the window, size of a head)."""
    tokens = heads[0].transpose(0, 1).contiguous()
    jagged: torch.Tensor = torch.nested.nested_tensor_from_jagged(
        tokens, windows.offsets, min_seqlen=windows.shortest, max_seqlen=windows.longest
    )
    return jagged.transpose(1, 2)
