"""How a bundle stands dirty text: the same labelled paragraphs clean, with each kind of dirt, and with a mix of all.

    python -m benchmarks.robustness --dev DEV.jsonl [--seed 7] [--out DIRTY.jsonl] [--bundle FOLDER]

Figures are with the bundle's own calibration and thresholds. `restored` is the share of the paragraphs that cleaning
brings back to what they were, to the character; `changed` the share whose topics differ from those of the clean
paragraph. --out writes the mix as labelled paragraphs, labels and all other keys as they were.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from configs.settings import load_settings
from configs.taxonomy import load_taxonomy
from policy_topics.classifier import Classifier
from policy_topics.registry import served_bundle
from policy_topics.text import clean
from train.dataset import LabelledParagraph, read
from train.dirt import KINDS, Dirt, mix, soil
from train.export import label_matrix
from train.metrics import Labels, Metrics, measure

SETS: dict[str, Dirt] = {"clean": lambda text, _: text, **KINDS, "mix": mix}


@dataclass(frozen=True, slots=True)
class Standing:
    """One set of texts: its name, the share that cleaning restores, the topics given and how good they are."""

    name: str
    restored: float
    predicted: Labels
    metrics: Metrics


def standings(classifier: Classifier, rows: Sequence[LabelledParagraph], seed: int) -> Iterator[Standing]:
    """The figures of each set, the clean one first."""
    taxonomy = classifier.bundle.taxonomy
    labels = label_matrix(rows, taxonomy)
    for name, dirt in SETS.items():
        texts = [soil(row.text, dirt, seed) for row in rows]
        predictions = classifier.classify(texts)
        given = [{topic.id for topic in prediction.topics} for prediction in predictions]
        predicted = np.array([[topic in ids for topic in taxonomy.ids] for ids in given], np.bool_)
        probabilities = np.array([prediction.probabilities for prediction in predictions], np.float32)
        restored = np.mean([clean(text).text == row.text for text, row in zip(texts, rows, strict=True)])
        yield Standing(name, float(restored), predicted, measure(probabilities, predicted, labels, taxonomy.ids))


def dirty_line(row: LabelledParagraph, seed: int) -> str:
    """The line of a labelled paragraph with the mix laid on its text, all else as it was."""
    record = json.loads(row.line.json) | {"text": soil(row.text, mix, seed)}
    return json.dumps(record, ensure_ascii=False) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dev", type=Path, action="append", required=True)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--bundle", type=Path)
    arguments = parser.parse_args()
    settings = load_settings()
    classifier = Classifier.load(arguments.bundle or served_bundle(settings), settings.engine)
    rows = read(arguments.dev, load_taxonomy())
    if arguments.out:
        with arguments.out.open("w", encoding="utf-8", newline="\n") as out:
            out.writelines(dirty_line(row, arguments.seed) for row in rows)
    found = list(standings(classifier, rows, arguments.seed))
    before = found[0]
    name = f"{classifier.bundle.name} {classifier.bundle.version}"
    table = Table(title=f"{name}, {len(rows)} paragraphs, seed {arguments.seed}", title_justify="left")
    for column in ("set", "restored", "micro-F1", "macro-F1", "Δ micro", "Δ macro", "changed"):
        table.add_column(column, justify="left" if column == "set" else "right")
    for each in found:
        table.add_row(
            each.name,
            f"{each.restored:.3f}",
            f"{each.metrics.micro_f1:.4f}",
            f"{each.metrics.macro_f1:.4f}",
            f"{each.metrics.micro_f1 - before.metrics.micro_f1:+.4f}",
            f"{each.metrics.macro_f1 - before.metrics.macro_f1:+.4f}",
            f"{(each.predicted != before.predicted).any(axis=1).mean():.3f}",
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
