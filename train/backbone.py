"""The Chinese BERT that a fine-tuning starts from: opened, and given a head for the taxonomy's topics."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedTokenizerBase,
)

from configs.settings import FinetuneSettings, resolve
from configs.taxonomy import Taxonomy
from policy_topics.errors import TrainingError

_DROPOUTS = (
    *("hidden_dropout_prob", "attention_probs_dropout_prob"),  # BERT, RoBERTa, ELECTRA
    *("embedding_dropout", "attention_dropout", "mlp_dropout", "classifier_dropout"),  # ModernBERT
)


def backbone_folder(backbone: str) -> Path:
    """Where a backbone given by folder is; a folder that does not exist for a hub name."""
    return resolve(Path(backbone))


def weights_fingerprint(backbone: str) -> str:
    """Hash of a local backbone's weights: the folder may hold others by the time that a training goes on."""
    digest = hashlib.sha256()
    for file in sorted(backbone_folder(backbone).glob("*.safetensors")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def open_backbone(settings: FinetuneSettings, taxonomy: Taxonomy) -> tuple[PreTrainedTokenizerBase, Any]:
    """The tokenizer, and the encoder with a head for the taxonomy, of the backbone that the settings name.

    Topics that the backbone's head knows keep their weights, whatever place they move to; new ones begin anew.

    Raises:
        TrainingError: it cannot be opened, or a share of its weights is to be kept and its head lacks a topic.
    """
    backbone = str(settings.backbone)
    local = backbone_folder(backbone)
    source = str(local) if local.is_dir() else backbone
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
        config = AutoConfig.from_pretrained(source)
        for name in _DROPOUTS:
            if hasattr(config, name):
                setattr(config, name, settings.dropout)
        model = AutoModelForSequenceClassification.from_pretrained(source, config=config, dtype=torch.float32)
    except (OSError, ValueError) as fault:
        raise TrainingError(
            f"backbone {backbone!r} cannot be opened: {fault}\n"
            "Give the folder of a Hugging Face BERT, or a hub name on a machine that reaches the hub."
        ) from fault
    known = set((config.id2label or {}).values())
    lacking = [topic for topic in taxonomy.ids if topic not in known]
    if settings.start_share and lacking:
        raise TrainingError(
            f"backbone {backbone!r} has no weights for the topics {', '.join(lacking)}; finetune.start_share keeps "
            "weights of a model that knows all topics: set it to 0, or start from such a bundle"
        )
    _grow_head(model, taxonomy.ids)
    return tokenizer, model


def _grow_head(model: Any, topics: tuple[str, ...]) -> None:
    """Give the head one output a topic, in this order."""
    before = {topic: row for row, topic in (model.config.id2label or {}).items()}
    *_, head = (layer for layer in model.classifier.modules() if isinstance(layer, nn.Linear))
    weight, bias = head.weight.data, head.bias.data
    head.weight = nn.Parameter(weight.new_empty(len(topics), weight.shape[1]))
    head.bias = nn.Parameter(bias.new_empty(len(topics)))
    head.out_features = len(topics)
    model._init_weights(head)
    for row, topic in enumerate(topics):
        if topic in before:
            head.weight.data[row], head.bias.data[row] = weight[before[topic]], bias[before[topic]]
    model.config.id2label = dict(enumerate(topics))
    model.config.label2id = {topic: row for row, topic in enumerate(topics)}
    model.config.problem_type = "multi_label_classification"
    model.num_labels = len(topics)
