"""How new labelled paragraphs differ from the old ones, and which differences are more than chance.

What chance does is measured: documents are dealt out anew to "new" and "old", as many to each as there were, and each
difference taken again. Whole documents, since paragraphs of one are alike; a test of single paragraphs would cry wolf.
Sources: P. Good, "Permutation, Parametric, and Bootstrap Tests of Hypotheses", 2005; for many topics at once, P.
Westfall, S. Young, "Resampling-Based Multiple Testing", 1993 (max-T).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from configs.taxonomy import Taxonomy
from train.dataset import LabelledParagraph
from train.evaluate import documents
from train.export import label_matrix

DEALS = 400
_PAIRS = 5000
"""Pairs of characters, the most frequent ones, that make the vocabulary."""
_SHOWN = 25
_BINS = 50

Floats = NDArray[np.float64]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Difference(_Frozen):
    """One figure, beside what chance makes of it."""

    value: float
    chance: float
    """95 % of the chance values are below this."""

    @property
    def is_drift(self) -> bool:
        return self.value > self.chance


class TopicShift(_Frozen):
    """A topic's share of the paragraphs."""

    topic: str | None
    """None: paragraphs without a topic."""
    old: float
    new: float
    noise: float
    """A difference up to this is chance, all topics looked at together: 95 % of the deals stay below theirs."""

    @property
    def is_drift(self) -> bool:
        return abs(self.new - self.old) > self.noise


class Term(_Frozen):
    """A pair of characters and its share of all, in both."""

    pair: str
    old: float
    new: float


class Drift(_Frozen):
    """New against old.

    Attributes:
        length: largest distance between the two distributions of the number of characters (Kolmogorov-Smirnov).
        labels: Jensen-Shannon distance of the shares of the topics, 0 to 1.
        vocabulary: Jensen-Shannon distance of the shares of pairs of characters, 0 to 1.
        terms: the pairs that make most of it, those that are more frequent in the new first.
    """

    new_paragraphs: int
    old_paragraphs: int
    new_documents: int
    old_documents: int
    new_lengths: tuple[int, ...]
    old_lengths: tuple[int, ...]
    """Characters of clean text, rising."""
    length: Difference
    labels: Difference
    vocabulary: Difference
    topics: tuple[TopicShift, ...]
    terms: tuple[Term, ...]


def drift(new: Sequence[LabelledParagraph], old: Sequence[LabelledParagraph], taxonomy: Taxonomy) -> Drift | None:
    """Compare two sets of paragraphs; None where one of them is empty."""
    if not new or not old:
        return None
    rows = [*new, *old]
    document = documents(rows)
    dealt, is_new = _deals(document, len(new))
    carried = label_matrix(rows, taxonomy)
    labels = np.concatenate([carried, ~carried.any(axis=1, keepdims=True)], axis=1)
    shares = [_shares(_by_document(labels, document), _by_document(np.ones((len(rows), 1)), document), deal)
              for deal in (is_new, dealt)]  # fmt: skip
    pairs, counts = _pair_counts(rows, document)
    lengths = np.array([len(row.text) for row in rows])
    edges = np.unique(np.quantile(lengths, np.linspace(0, 1, _BINS + 1)[1:-1]))
    steps = _by_document(np.digitize(lengths, edges)[:, None] == np.arange(len(edges) + 1), document)
    return Drift(
        new_paragraphs=len(new),
        old_paragraphs=len(old),
        new_documents=int(is_new.sum()),
        old_documents=int(len(is_new) - is_new.sum()),
        new_lengths=tuple(sorted(lengths[: len(new)].tolist())),
        old_lengths=tuple(sorted(lengths[len(new) :].tolist())),
        length=_beside_chance(_steps_apart, steps, is_new, dealt),
        labels=_beside_chance(_jensen_shannon, _by_document(labels, document), is_new, dealt),
        vocabulary=_beside_chance(_jensen_shannon, counts, is_new, dealt),
        topics=_shifts([*taxonomy.ids, None], shares[0], shares[1]),
        terms=_terms(pairs, counts, is_new),
    )


def _deals(document: NDArray[np.intp], new: int) -> tuple[Floats, Floats]:
    """Which documents are dealt to the new, (documents, deals), and which are new, (documents, 1).

    A document with paragraphs in both counts as new.
    """
    is_new = np.zeros((int(document.max()) + 1, 1))
    is_new[document[:new]] = 1
    rng = np.random.default_rng(13)
    return np.stack([rng.permutation(is_new[:, 0]) for _ in range(DEALS)], axis=1), is_new


def _by_document(values: NDArray[Any], document: NDArray[np.intp]) -> Floats:
    """Sums over the paragraphs of each document, (documents, columns)."""
    sums = np.zeros((int(document.max()) + 1, values.shape[1]))
    np.add.at(sums, document, values)
    return sums


def _sums(counts: Any, dealt: Floats) -> tuple[Floats, Floats]:
    """Counts of the new and of the old in each deal, (deals, columns); `counts` may be sparse."""
    new = np.asarray((counts.T @ dealt).T)
    return new, np.asarray(counts.sum(axis=0)).ravel() - new


def _shares(counts: Floats, sizes: Floats, dealt: Floats) -> Floats:
    """Shares of the paragraphs in the new and in the old, (2, deals, columns)."""
    return np.stack([a / np.maximum(b, 1) for a, b in zip(_sums(counts, dealt), _sums(sizes, dealt), strict=True)])


def _beside_chance(measure: Any, counts: Any, is_new: Floats, dealt: Floats) -> Difference:
    value, chance = (measure(*_sums(counts, deal)) for deal in (is_new, dealt))
    return Difference(value=float(value[0]), chance=float(np.quantile(chance, 0.95)))


def _steps_apart(new: Floats, old: Floats) -> Floats:
    """Kolmogorov-Smirnov distance of counts in rising bins, (deals,)."""
    above = [np.cumsum(each, axis=1) / np.maximum(each.sum(axis=1, keepdims=True), 1) for each in (new, old)]
    return np.asarray(np.abs(above[0] - above[1]).max(axis=1))


def _jensen_shannon(new: Floats, old: Floats) -> Floats:
    """Square root of the Jensen-Shannon divergence in bits, (deals,). J. Lin, IEEE Trans. Inf. Theory 37, 1991."""
    p, q = (each / np.maximum(each.sum(axis=1, keepdims=True), 1) for each in (new, old))
    return np.asarray(np.sqrt(np.maximum(_divergences(p, q).sum(axis=1), 0)))


def _divergences(p: Floats, q: Floats) -> Floats:
    """What each column adds to the divergence."""
    middle = np.maximum((p + q) / 2, 1e-300)
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [np.where(each > 0, each * np.log2(each / middle), 0) / 2 for each in (p, q)]
    return np.asarray(parts[0] + parts[1])


def _shifts(topics: Sequence[str | None], real: Floats, dealt: Floats) -> tuple[TopicShift, ...]:
    chance = dealt[0] - dealt[1]
    spread = np.maximum(chance.std(axis=0), 1e-9)
    limit = float(np.quantile(np.abs(chance / spread).max(axis=1), 0.95))
    return tuple(
        TopicShift(topic=topic, old=float(real[1, 0, i]), new=float(real[0, 0, i]), noise=float(limit * spread[i]))
        for i, topic in enumerate(topics)
    )


def _pair_counts(rows: Sequence[LabelledParagraph], document: NDArray[np.intp]) -> tuple[list[str], Any]:
    """The most frequent pairs of characters, and how often each document has them, sparse (documents, pairs)."""
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import CountVectorizer

    vectorizer = CountVectorizer(analyzer=_pairs, max_features=_PAIRS)
    counts = vectorizer.fit_transform([row.text for row in rows])
    of_document = csr_matrix((np.ones(len(rows)), (document, np.arange(len(rows)))))
    return list(vectorizer.get_feature_names_out()), of_document @ counts


def _pairs(text: str) -> list[str]:
    joined = "".join(text.split())
    return [joined[i : i + 2] for i in range(max(1, len(joined) - 1))]


def _terms(pairs: Sequence[str], counts: Any, is_new: Floats) -> tuple[Term, ...]:
    p, q = (each[0] / max(each[0].sum(), 1) for each in _sums(counts, is_new))
    added = _divergences(p, q)
    more, less = ([i for i in np.argsort(-added, kind="stable") if way * (p[i] - q[i]) > 0][:_SHOWN] for way in (1, -1))
    return tuple(Term(pair=pairs[i], old=float(q[i]), new=float(p[i])) for i in [*more, *less])
