"""What retraining is worth, and what it costs: half of the training data held back, and then added.

    python -m benchmarks.retraining --train TRAIN.jsonl --dev DEV.jsonl --test TEST.jsonl \
        --backbone FOLDER --work FOLDER

Three models: `before`, fine-tuned from the backbone on the old half; `together`, warm-started from it on both halves,
as `policy-topics train --data NEW` does; `new alone`, warm-started from it on the new half alone, which shows what is
forgotten without the old one. Give a backbone that has not seen the paragraphs: an encoder, not a bundle of them.

`forgotten`: share of the old paragraphs that `before` gives exactly their topics and the model does not. Figures are
with each bundle's own calibration and thresholds. FOLDER keeps what is done, so a run that was cut off goes on.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from configs.settings import Settings, load_settings, override
from configs.taxonomy import Taxonomy, load_taxonomy
from policy_topics.classifier import Classifier
from policy_topics.engine import available_cores
from train.cost import processor
from train.dataset import LabelledParagraph, read
from train.evaluate import Judgement, halves, served
from train.export import label_matrix
from train.metrics import Metrics, measure
from train.pipeline import train
from train.verdict import verdict_of

BEFORE = "before"


def main() -> None:
    arguments = _arguments()
    console, taxonomy = Console(width=140, markup=False, highlight=False), load_taxonomy()
    work: Path = arguments.work
    work.mkdir(parents=True, exist_ok=True)
    rows = read(arguments.train, taxonomy)[: arguments.rows]
    is_old = halves(rows)
    if is_old is None:
        raise SystemExit("the paragraphs make no two halves: name more documents with --train")
    old, new = ([row for row, of_old in zip(rows, is_old, strict=True) if of_old == half] for half in (True, False))
    files = {"old": _write(old, work / "old.jsonl"), "new": _write(new, work / "new.jsonl")}
    base = override(
        load_settings(arguments.config),
        {"registry": None, "data.dev_files": arguments.dev, "data.test_files": arguments.test},
    )
    variants = {
        BEFORE: ([files["old"]], arguments.backbone),
        "together": ([files["old"], files["new"]], str(work / BEFORE)),
        "new alone": ([files["new"]], str(work / BEFORE)),
    }
    table = Table(
        title=f"{processor()}, {available_cores()} cores; old half {len(old)}, new half {len(new)} paragraphs"
    )
    columns = (
        "model",
        "test micro-F1",
        "test macro-F1",
        "ECE",
        "old micro-F1",
        "old macro-F1",
        "forgotten",
        "gate",
        "min",
    )
    for column in columns:
        table.add_column(column, justify="left" if column == "model" else "right")
    was_right = np.zeros(len(old), np.bool_)
    for name, (data, backbone) in variants.items():
        out = work / name.replace(" ", "-")
        own = override(base, {"data.files": data, "finetune.backbone": backbone, "bundle": work / BEFORE})
        minutes = _minutes(own, taxonomy, out, console)
        classifier = Classifier.load(out, own.engine)
        on_test, _ = _judge(classifier, read(arguments.test, taxonomy), taxonomy)
        on_old, right = _judge(classifier, old, taxonomy)
        was_right = right if name == BEFORE else was_right
        verdict = verdict_of(out)
        table.add_row(
            name,
            *(f"{value:.4f}" for value in (on_test.micro_f1, on_test.macro_f1, on_test.ece)),
            *(f"{value:.4f}" for value in (on_old.micro_f1, on_old.macro_f1)),
            f"{(was_right & ~right).mean():.3f}",
            "–" if verdict is None else "passed" if verdict.passed else "refused",
            "–" if np.isnan(minutes) else f"{minutes:.1f}",
        )
    console.print(table)


def _minutes(settings: Settings, taxonomy: Taxonomy, out: Path, console: Console) -> float:
    """Train, if that has not been done, and say how long it took; nan where it was cut off and went on."""
    kept, work = out.with_name(f"{out.name}.minutes.json"), out.with_name(f".{out.name}-work")
    if not out.exists():
        whole, start = not work.exists(), time.monotonic()
        train(settings, taxonomy, out, work, lambda line: console.print(line, markup=False))
        if whole:
            kept.write_text(json.dumps((time.monotonic() - start) / 60), "utf-8")
    return float(json.loads(kept.read_text("utf-8"))) if kept.exists() else float("nan")


def _judge(
    classifier: Classifier, rows: Sequence[LabelledParagraph], taxonomy: Taxonomy
) -> tuple[Metrics, NDArray[np.bool_]]:
    """The figures, and which paragraphs are given exactly their topics, (paragraphs,)."""
    judged: Judgement = served(classifier, rows)[0]
    labels = label_matrix(rows, taxonomy)
    figures = measure(judged.probabilities, judged.given, labels, taxonomy.ids)
    return figures, (judged.given == labels).all(axis=1)


def _write(rows: Sequence[LabelledParagraph], file: Path) -> Path:
    file.write_text("".join(row.line.json + "\n" for row in rows), "utf-8")
    return file


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--train", "--dev", "--test"):
        parser.add_argument(name, type=Path, action="append", required=True)
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--rows", type=int, help="take only the first so many training paragraphs")
    return parser.parse_args()


if __name__ == "__main__":
    main()
