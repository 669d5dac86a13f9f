"""Simple models to hold a bundle against: trained in seconds on the same paragraphs, judged in the same way."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.taxonomy import Taxonomy
from policy_topics.errors import TrainingError, how_to_install
from train.dataset import LabelledParagraph
from train.export import label_matrix

TopicScores = NDArray[np.float32]
"""(paragraphs, topics), of any scale: what logits are to a bundle, to be calibrated."""

FASTTEXT_MISSING = f"fastText is not installed; {how_to_install('bench')}"

_RATES = (1.0, 0.5, 0.25)
"""Learning rates of fastText. With some tens of thousands of paragraphs its numbers can overflow at the first one."""

_LABEL, _NO_TOPIC = "__label__", "0"


@dataclass(frozen=True, slots=True)
class Baseline:
    """A simple model's scores of the paragraphs that are to be judged.

    Attributes:
        name: for people.
        trained_on: paragraphs that it was trained on.
        scores: (paragraphs, topics).
    """

    name: str
    trained_on: int
    scores: TopicScores


def baselines(train: Sequence[LabelledParagraph], texts: Sequence[str], taxonomy: Taxonomy) -> list[Baseline]:
    """The linear model, and fastText where it is installed, trained on `train`."""
    models = {"TF-IDF (char 1–3) + LinearSVC": linear_scores}
    if fasttext_installed():
        models["fastText (char 1–2)"] = fasttext_scores
    return [Baseline(name, len(train), scores(train, texts, taxonomy)) for name, scores in models.items()]


def linear_scores(train: Sequence[LabelledParagraph], texts: Sequence[str], taxonomy: Taxonomy) -> TopicScores:
    """TF-IDF of character 1- to 3-grams, one LinearSVC a topic: distances from the hyperplanes, (texts, topics).

    A topic that no paragraph or every paragraph of `train` carries has the same score in all texts.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.svm import LinearSVC

    rarest = 2 if len(train) >= 100 else 1  # a few paragraphs may have no character in common
    vectorizer = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), min_df=rarest, sublinear_tf=True)
    learnt, judged = vectorizer.fit_transform([row.text for row in train]), vectorizer.transform(texts)
    labels = label_matrix(train, taxonomy)
    scores = np.tile(np.where(labels.all(axis=0), 1, -1).astype(np.float32), (len(texts), 1))
    for topic in np.flatnonzero(labels.any(axis=0) & ~labels.all(axis=0)):
        scores[:, topic] = LinearSVC(C=1.0, random_state=0).fit(learnt, labels[:, topic]).decision_function(judged)
    return scores


def fasttext_installed() -> bool:
    return find_spec("fasttext") is not None


def fasttext_scores(train: Sequence[LabelledParagraph], texts: Sequence[str], taxonomy: Taxonomy) -> TopicScores:
    """fastText on characters and their pairs, one-vs-all: its log-odds, (texts, topics).

    A. Joulin et al., "Bag of Tricks for Efficient Text Classification", 2017. One thread and a fixed seed: several
    threads write over each other, and no two runs would be alike. Words instead of characters are much worse with so
    few paragraphs, and 3-grams no better.

    Raises:
        TrainingError: fastText is not installed.
    """
    if not fasttext_installed():
        raise TrainingError(FASTTEXT_MISSING)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "train.txt"
        file.write_text("".join(f"{_labels(row)} {_characters(row.text)}\n" for row in train), "utf-8")
        model = _fasttext(file)
    column = {_LABEL + topic: i for i, topic in enumerate(taxonomy.ids)}
    probabilities = np.zeros((len(texts), len(column)), np.float32)
    for row, (names, values) in enumerate(zip(*model.predict(list(map(_characters, texts)), k=-1), strict=True)):
        for name, value in zip(names, values, strict=True):
            if name in column:
                probabilities[row, column[name]] = value
    clipped = np.clip(probabilities, 1e-4, 1 - 1e-4)  # its sigmoid is a table that ends near 0 and 1
    return np.asarray(np.log(clipped / (1 - clipped)), np.float32)


def _fasttext(file: Path) -> Any:
    """The model, at the first learning rate that it can bear."""
    import fasttext

    *rates, last = _RATES
    learn = partial(
        fasttext.train_supervised, str(file),
        loss="ova", dim=100, wordNgrams=2, bucket=500_000, epoch=40, thread=1, seed=1, verbose=0,
    )  # fmt: skip
    for rate in rates:
        try:
            return learn(lr=rate)
        except RuntimeError as fault:
            if "NaN" not in str(fault):
                raise
    return learn(lr=last)


def _labels(row: LabelledParagraph) -> str:
    """fastText skips a line without a label, so those without a topic get one that no topic has."""
    return " ".join(_LABEL + label for label in row.labels or (_NO_TOPIC,))


def _characters(text: str) -> str:
    return " ".join("".join(text.split()))
