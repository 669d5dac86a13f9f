"""A training that takes seconds: paragraphs whose topics their words tell apart, and settings for a tiny backbone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from configs.settings import Settings, load_settings
from configs.taxonomy import load_taxonomy

TAXONOMY = load_taxonomy()
SUBJECTS = {"education": "学校教师招生考试", "transport": "公路铁路公交客运", "energy": "电力煤炭油气储能"}


def write(file: Path, rows: Sequence[dict[str, Any]]) -> Path:
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return file


def rows_of(split: str, each: int) -> list[dict[str, Any]]:
    """Paragraphs that differ, of three topics that their words tell apart."""
    verbs = ["推进", "规范", "改善", "调查", "扩大", "减少", "清理", "公开", "研究", "检查"]
    return [
        {
            "text": f"{verb}{words[k:]}{words[:k]}{verbs[k]}工作，{split}第{i}批。",
            "labels": [topic],
            "document": f"{split}-{i}",
        }
        for topic, words in SUBJECTS.items()
        for i in range(each)
        for verb, k in [(verbs[i % 10], i * 7 % 8)]
    ]


def settings_for(folder: Path, backbone: Path) -> Settings:
    """Settings of a little training whose paragraphs are written into `folder`."""
    files = {
        split: write(folder / f"{split}.jsonl", rows_of(split, n)) for split, n in (("练", 40), ("校", 12), ("测", 12))
    }
    return load_settings(
        flags={
            "data.files": [files["练"]], "data.dev_files": [files["校"]], "data.test_files": [files["测"]],
            "data.duplicate_similarity": 1.0, "bundle": folder / "none", "registry": None,
            "finetune.backbone": str(backbone), "finetune.epochs": 6, "finetune.learning_rate": 3e-3,
            "finetune.max_tokens": 48, "finetune.dropout": 0.0, "finetune.patience": 6, "finetune.batch_paragraphs": 8,
            "export.max_f1_loss": 0.2, "export.calibration_paragraphs": 20, "engine.threads": 1,
        }
    )  # fmt: skip
