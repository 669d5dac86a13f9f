"""The engine that runs no padding gives what the plain model gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import BertConfig, ModernBertConfig, ModernBertForSequenceClassification

from policy_topics.engine import pad
from policy_topics.unpadded import Unpadded, can_run


def config(**changes: object) -> ModernBertConfig:
    layers = {"layer_types": ["full_attention"] * 2, **changes}
    return ModernBertConfig(
        vocab_size=50, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=64, num_labels=5, pad_token_id=0, bos_token_id=1, cls_token_id=1, eos_token_id=2,
        sep_token_id=2, initializer_range=0.5, **layers,
    )  # fmt: skip


def model(pooling: str) -> ModernBertForSequenceClassification:
    torch.manual_seed(0)
    return ModernBertForSequenceClassification(config(classifier_pooling=pooling)).eval()


def windows(*lengths: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    ids, mask = pad([[1, *rng.integers(3, 50, length).tolist(), 2] for length in lengths], 0)
    return torch.from_numpy(ids), torch.from_numpy(mask)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@torch.inference_mode()
def test_windows_of_mixed_lengths_get_the_logits_of_the_padded_model(pooling: str) -> None:
    ids, mask = windows(3, 41, 9, 9, 1)
    padded = model(pooling)(input_ids=ids, attention_mask=mask).logits
    assert padded.std() > 0.1  # the texts do differ
    torch.testing.assert_close(Unpadded(model(pooling)).logits(ids, mask), padded, rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_a_window_gets_the_same_in_any_company() -> None:
    ids, mask = windows(3, 41, 9)
    unpadded = Unpadded(model("mean"))
    together = unpadded.logits(ids, mask)
    alone = torch.cat([unpadded.logits(ids[row : row + 1], mask[row : row + 1]) for row in range(len(ids))])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


def test_other_encoders_are_run_with_padding() -> None:
    assert can_run(config())
    assert not can_run(config(layer_types=["full_attention", "sliding_attention"]))
    assert not can_run(BertConfig())
