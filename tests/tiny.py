"""A tiny real bundle: an encoder of two small layers with random weights, its tokenizer, calibration and manifest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    ModernBertConfig,
    ModernBertForSequenceClassification,
)

from configs.taxonomy import Taxonomy, load_taxonomy, save_taxonomy
from policy_topics.bundle import ONNX_MODEL, Provenance, write_manifest
from policy_topics.calibration import Calibration
from train.export import to_onnx
from train.vocabulary import as_transformers, train_tokenizer

MAX_TOKENS = 48

TEXTS = [
    "会议强调，要抓好粮食生产，落实最严格的耕地保护制度，推进高标准农田建设。",
    "要严格落实安全生产责任制，深入排查化工企业和建筑工地的事故隐患。",
    "加快建设数字政府，推动政务数据共享，让企业和群众办事少跑腿。",
    "完善分级诊疗制度，推进县域医共体建设，提高基层医疗服务能力。",
    "全年一般公共预算收入增长，支出重点保障教育、医疗和社会保障。",
    "推进规范改善调查扩大减少清理公开研究检查学校教师招生考试、公路铁路公交客运、电力煤炭油气储能工作。",
]


def tiny_backbone(folder: Path, plain_bert: bool = False, taxonomy: Taxonomy | None = None) -> Path:
    """A Hugging Face folder with a classification head for the taxonomy."""
    topics = (taxonomy or load_taxonomy()).ids
    tokenizer = as_transformers(train_tokenizer(TEXTS * 40, 400), MAX_TOKENS)
    torch.manual_seed(0)
    shape = {
        "vocab_size": len(tokenizer), "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 64, "max_position_embeddings": 64, "initializer_range": 0.1, "num_labels": len(topics),
        "id2label": dict(enumerate(topics)), "problem_type": "multi_label_classification", "pad_token_id": 0,
    }  # fmt: skip
    if plain_bert:
        BertForSequenceClassification(BertConfig(**shape)).save_pretrained(folder)
    else:
        special = {"bos_token_id": 2, "cls_token_id": 2, "eos_token_id": 3, "sep_token_id": 3}
        layers = {"layer_types": ["full_attention"] * 2, "classifier_pooling": "mean"}
        ModernBertForSequenceClassification(ModernBertConfig(**shape, **special, **layers)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def tiny_bundle(folder: Path, taxonomy: Taxonomy | None = None) -> Path:
    """A bundle that loads and answers; its answers mean nothing."""
    taxonomy = taxonomy or load_taxonomy()
    tiny_backbone(folder, taxonomy=taxonomy)
    model = AutoModelForSequenceClassification.from_pretrained(folder, attn_implementation="eager").eval()
    to_onnx(model, folder / ONNX_MODEL)
    save_taxonomy(taxonomy, folder / "topics.yaml")
    ones = np.ones(len(taxonomy.topics), np.float32)
    Calibration(ones, ones * 0, ones * 0.5).save(folder / "calibration.json", taxonomy.ids)
    write_manifest(folder, Provenance("tiny", MAX_TOKENS, "none", parent=None), "fp32")
    return folder


def with_another_topic() -> Taxonomy:
    taxonomy = load_taxonomy()
    another = taxonomy.topics[0].model_copy(update={"id": "deep_sea", "zh": "深海", "en": "Deep sea"})
    return taxonomy.model_copy(update={"version": taxonomy.version + 1, "topics": (*taxonomy.topics, another)})
