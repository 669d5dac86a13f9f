"""Quality of the bundle beside a linear model on the same labelled paragraphs.

    python -m benchmarks.quality --dev DEV.jsonl --train TRAIN.jsonl [--train MORE.jsonl] [--bundle FOLDER]

The linear model is TF-IDF of character 1- to 3-grams with one LinearSVC a topic, trained on the --train files: give
those that the bundle was trained on. Two columns for each model:

- `own`: with calibration and thresholds set on all of these very paragraphs. Kind to both alike.
- `cross`: each half of the documents is judged with calibration and thresholds set on the other half.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from configs.settings import load_settings, resolve
from configs.taxonomy import load_taxonomy
from policy_topics.classifier import Classifier
from train.calibrate import fit_calibration
from train.dataset import LabelledParagraph, read
from train.export import label_matrix, paragraph_logits
from train.metrics import Labels, Metrics, measure

Scores = NDArray[np.float32]


def linear_scores(train: Sequence[LabelledParagraph], train_labels: Labels, texts: Sequence[str]) -> Scores:
    """Distances from the hyperplanes of one LinearSVC a topic, (texts, topics)."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.svm import LinearSVC

    vectorizer = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), min_df=2, sublinear_tf=True)
    model = OneVsRestClassifier(LinearSVC(C=1.0))
    model.fit(vectorizer.fit_transform([row.text for row in train]), train_labels)
    return np.asarray(model.decision_function(vectorizer.transform(texts)), np.float32)


def own(scores: Scores, labels: Labels, topics: tuple[str, ...]) -> Metrics:
    """With calibration and thresholds set on the same paragraphs."""
    calibration = fit_calibration(scores, labels)
    probabilities = calibration.probabilities(scores)
    return measure(probabilities, probabilities >= calibration.threshold, labels, topics)


def cross(scores: Scores, labels: Labels, topics: tuple[str, ...], half: NDArray[np.bool_]) -> Metrics:
    """With calibration and thresholds set on the other half."""
    probabilities, predicted = np.zeros_like(scores), np.zeros_like(labels)
    for judged in (half, ~half):
        calibration = fit_calibration(scores[~judged], labels[~judged])
        probabilities[judged] = calibration.probabilities(scores[judged])
        predicted[judged] = probabilities[judged] >= calibration.threshold
    return measure(probabilities, predicted, labels, topics)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dev", type=Path, action="append", required=True)
    parser.add_argument("--train", type=Path, action="append", required=True)
    parser.add_argument("--bundle", type=Path)
    arguments = parser.parse_args()
    settings, taxonomy = load_settings(), load_taxonomy()
    classifier = Classifier.load(arguments.bundle or resolve(settings.bundle), settings.engine)
    train, dev = read(arguments.train, taxonomy), read(arguments.dev, taxonomy)
    labels, texts = label_matrix(dev, taxonomy), [row.text for row in dev]
    half = np.array([crc32((row.document or row.id).encode()) % 2 == 0 for row in dev])
    scores = {
        "TF-IDF (char 1–3) + LinearSVC": linear_scores(train, label_matrix(train, taxonomy), texts),
        f"{classifier.bundle.name} {classifier.bundle.version}": paragraph_logits(classifier, texts),
    }
    table = Table(title=f"{len(dev)} paragraphs; linear model trained on {len(train)}", title_justify="left")
    for column in (
        "model",
        "micro-F1 own",
        "macro-F1 own",
        "micro-F1 cross",
        "macro-F1 cross",
        "top-1",
        "ECE",
        "Brier",
    ):
        table.add_column(column, justify="left" if column == "model" else "right")
    views: tuple[Callable[[Scores], Metrics], ...] = (
        lambda s: own(s, labels, taxonomy.ids),
        lambda s: cross(s, labels, taxonomy.ids, half),
    )
    for name, each in scores.items():
        fitted, crossed = (view(each) for view in views)
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


if __name__ == "__main__":
    main()
