"""What our own paragraphs are worth beside others: the same models trained on either and on both, judged on DEV.

    python -m benchmarks.own_data --other OTHER.jsonl --dev DEV.jsonl [--backbone FOLDER --work FOLDER]

(a) ours alone, (b) as many of the others, (c) all of the others, (d) both. The linear model always;
with `--backbone` the encoder as well, fine-tuned with the settings (`--config`). Each half of the documents of DEV is
judged with calibration and thresholds set on the other half.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.ablation import run
from configs.settings import load_settings, override, resolve
from configs.taxonomy import Taxonomy, load_taxonomy
from train.baselines import linear_scores
from train.dataset import LabelledParagraph, read
from train.evaluate import cross, halves
from train.export import label_matrix
from train.hardware import quiet
from train.metrics import Metrics, measure
from train.split import without_leaks


def main() -> None:
    arguments = _arguments()
    quiet()
    settings, taxonomy = load_settings(arguments.config), load_taxonomy()
    similarity = settings.data.duplicate_similarity
    dev = read(arguments.dev, taxonomy)
    ours, _ = without_leaks(read([resolve(file) for file in settings.data.files], taxonomy), dev, similarity)
    other, _ = without_leaks(read(arguments.other, taxonomy), dev, similarity)
    sets = {
        "(a) ours": ours,
        "(b) as many others": random.Random(0).sample(other, min(len(ours), len(other))),
        "(c) all others": other,
        "(d) ours and all others": [*ours, *other],
    }
    console = Console(width=120)
    table = Table("trained on", "paragraphs", "model", "micro-F1", "macro-F1", box=box.MARKDOWN)
    for name, rows in sets.items():
        figures = {"linear": linear(rows, dev, taxonomy)}
        if arguments.backbone:
            own = override(settings, {"finetune.backbone": str(arguments.backbone)})
            figures["encoder"] = run(own, rows, dev, taxonomy, arguments.work / name[1])[0]
        for model, each in figures.items():
            table.add_row(name, str(len(rows)), model, f"{each.micro_f1:.4f}", f"{each.macro_f1:.4f}")
            console.print(f"{name}, {model}: {each.micro_f1:.4f} / {each.macro_f1:.4f}")
    console.print(table)


def linear(rows: Sequence[LabelledParagraph], dev: Sequence[LabelledParagraph], taxonomy: Taxonomy) -> Metrics:
    """The linear model trained on `rows`, judged on `dev`."""
    labels, half = label_matrix(dev, taxonomy), halves(dev)
    assert half is not None, "dev needs two documents at least"
    judged = cross(linear_scores(rows, [row.text for row in dev], taxonomy), labels, half)
    return measure(judged.probabilities, judged.given, labels, taxonomy.ids)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--other", type=Path, action="append", required=True)
    parser.add_argument("--dev", type=Path, action="append", required=True)
    parser.add_argument("--backbone", type=Path)
    parser.add_argument("--work", type=Path, default=Path("runs/own_data"))
    parser.add_argument("--config", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
