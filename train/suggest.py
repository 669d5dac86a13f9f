"""Which paragraphs to label next: those that the model is unsure of, and unlike each other.

A paragraph is seen as in BADGE (J. T. Ash et al., "Deep batch active learning by diverse, uncertain gradient lower
bounds", ICLR 2020): as the gradient that the last layer would have if the model's own answer were the label. It is long
where the model is unsure, and points elsewhere where text or doubt are others: the product of the error of each topic
and the encoder's vector of the text. As no bundle gives that vector away, TF-IDF of characters takes its place.
Gradients are never written out: of two, the inner product is that of the errors times that of the texts. They are
chosen by greedy k-center (O. Sener, S. Savarese, "Active learning for convolutional neural networks: a core-set
approach", ICLR 2018), which draws no lots as BADGE's k-means++ does: the same archive gives the same queue.

Before that, the paragraphs are narrowed to the least sure ones (F. Zhdanov, "Diverse mini-batch active learning",
2019), so that an archive of any size fits into memory.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

POOL = 10
"""Paragraphs that are kept to choose from, for each one wanted, as in Zhdanov."""

NAMED = 2
"""Topics that a reason names at most."""

_NGRAMS = (1, 2)

Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Unlabelled:
    """A paragraph and what the model makes of it.

    Attributes:
        text: clean.
        probabilities: calibrated, of every topic, (topics,).
    """

    id: str
    text: str
    document: str
    probabilities: Vector


def doubt(probabilities: Vector, thresholds: Vector) -> Vector:
    """How far the model's answer is from sure, for each topic, (topics,): ±0.5 at its threshold, 0 at 0 and 1.

    Positive where the answer is no. Probabilities are stretched on both sides so that the threshold is in the middle:
    there, and not at 0.5, the model would answer otherwise.
    """
    below = probabilities < thresholds
    no = 0.5 * probabilities / np.maximum(thresholds, 1e-6)
    yes = -0.5 * (1 - probabilities) / np.maximum(1 - thresholds, 1e-6)
    return np.where(below, no, yes).astype(np.float32)


class Pool:
    """The least sure of the paragraphs that were added, each text once. Its size does not grow with their number.

    Args:
        thresholds: of every topic, (topics,).
        count: paragraphs that shall be chosen.
    """

    def __init__(self, thresholds: Vector, count: int) -> None:
        self._thresholds = thresholds
        self._count = count
        self._kept: list[tuple[float, int, Unlabelled]] = []
        self._texts: set[str] = set()  # of what is kept: one that was too sure once is so again
        self.added = 0

    def add(self, paragraph: Unlabelled) -> None:
        self.added += 1
        if paragraph.text in self._texts:
            return
        self._texts.add(paragraph.text)
        length = float(np.linalg.norm(doubt(paragraph.probabilities, self._thresholds)))
        entry = (length, -self.added, paragraph)  # of two like it, the first
        if len(self._kept) < POOL * self._count:
            heapq.heappush(self._kept, entry)
        else:
            *_, surest = heapq.heappushpop(self._kept, entry)
            self._texts.remove(surest.text)

    def choose(self) -> list[Unlabelled]:
        """The paragraphs to label, as many as wanted if there are so many, the most useful first."""
        paragraphs = [paragraph for _, _, paragraph in sorted(self._kept, key=lambda entry: (-entry[0], -entry[1]))]
        if len(paragraphs) <= self._count:
            return paragraphs
        doubts = np.stack([doubt(each.probabilities, self._thresholds) for each in paragraphs])
        return [paragraphs[index] for index in _spread(doubts, [each.text for each in paragraphs], self._count)]


def _spread(doubts: Vector, texts: Sequence[str], count: int) -> list[int]:
    """Greedy k-center over the gradients, from the longest one on: the next is the farthest from all that are chosen.
    The origin counts as chosen, too: what the model is sure of is not worth a label for being unlike the rest.
    `doubts` is (paragraphs, topics), rows in falling order of length."""
    from sklearn.feature_extraction.text import TfidfVectorizer  # takes a second to import

    vectors = TfidfVectorizer(analyzer="char", ngram_range=_NGRAMS, sublinear_tf=True).fit_transform(texts)
    lengths = (doubts**2).sum(axis=1)
    nearest = lengths.copy()  # squared distances
    chosen = [0]
    while len(chosen) < count:
        last = chosen[-1]
        inner = (doubts @ doubts[last]) * (vectors @ vectors[last].T).toarray().ravel()
        nearest = np.minimum(nearest, lengths + lengths[last] - 2 * inner)
        nearest[chosen] = -np.inf
        chosen.append(int(nearest.argmax()))
    return chosen


def reason(paragraph: Unlabelled, thresholds: Vector, names: Sequence[str]) -> str:
    """Why it was chosen, for people: the topic that the model is least sure of, and another if it is of that nearly."""
    doubts = np.abs(doubt(paragraph.probabilities, thresholds))
    least = [i for i in np.argsort(-doubts, kind="stable")[:NAMED] if 2 * doubts[i] >= doubts.max()]
    named = (f"{names[i]} {paragraph.probabilities[i]:.2f}（阈值 threshold {thresholds[i]:.2f}）" for i in least)
    return f"拿不准 unsure: {', '.join(named)}"
