"""Quality of the bundle beside simple models on the same labelled paragraphs.

    python -m benchmarks.quality --dev DEV.jsonl --train TRAIN.jsonl [--train MORE.jsonl] [--bundle FOLDER]

The simple models (a linear one; fastText, where it is installed) are those of train/baselines.py, trained on the
--train files: give those that the bundle was trained on. Two columns for each model:

- `own`: with calibration and thresholds set on all of these very paragraphs. Kind to both alike.
- `cross`: each half of the documents is judged with calibration and thresholds set on the other half.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

from configs.settings import load_settings
from configs.taxonomy import load_taxonomy
from policy_topics.classifier import Classifier
from policy_topics.registry import served_bundle
from train.baselines import FASTTEXT_MISSING, baselines, fasttext_installed
from train.dataset import read
from train.evaluate import cross, halves, own
from train.export import label_matrix, paragraph_logits
from train.metrics import measure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dev", type=Path, action="append", required=True)
    parser.add_argument("--train", type=Path, action="append", required=True)
    parser.add_argument("--bundle", type=Path)
    arguments = parser.parse_args()
    settings, taxonomy = load_settings(), load_taxonomy()
    classifier = Classifier.load(arguments.bundle or served_bundle(settings), settings.engine)
    train, dev = read(arguments.train, taxonomy), read(arguments.dev, taxonomy)
    labels, texts = label_matrix(dev, taxonomy), [row.text for row in dev]
    half = halves(dev)
    if half is None:
        raise SystemExit("the paragraphs make no two halves: name more documents with --dev")
    scores = {each.name: each.scores for each in baselines(train, texts, taxonomy)}
    scores[f"{classifier.bundle.name} {classifier.bundle.version}"] = paragraph_logits(classifier, texts)
    table = Table(title=f"{len(dev)} paragraphs; simple models trained on {len(train)}", title_justify="left")
    table.add_column("model")
    for column in ("micro-F1 own", "macro-F1 own", "micro-F1 cross", "macro-F1 cross", "top-1", "ECE", "Brier"):
        table.add_column(column, justify="right")
    for name, each in scores.items():
        fitted, crossed = (
            measure(judged.probabilities, judged.given, labels, taxonomy.ids)
            for judged in (own(each, labels), cross(each, labels, half))
        )
        figures = (
            fitted.micro_f1,
            fitted.macro_f1,
            crossed.micro_f1,
            crossed.macro_f1,
            crossed.top1_hit,
            crossed.ece,
            crossed.brier,
        )
        table.add_row(name, *(f"{figure:.4f}" for figure in figures))
    Console(width=140).print(table)
    if not fasttext_installed():
        print(FASTTEXT_MISSING)


if __name__ == "__main__":
    main()
