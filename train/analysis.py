"""Where a model is right and where it is wrong: by confidence, by pair of topics, by kind of paragraph, one by one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from configs.taxonomy import Taxonomy
from train.dataset import LabelledParagraph
from train.evaluate import Judgement
from train.metrics import Labels, f1_scores

UNKNOWN = "—"
"""Stands for a genre or a date that is not given."""

_LENGTHS = (75, 125, 200, 300)
"""Bounds of the slices by length, in characters."""


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Quality(Frozen):
    """Quality on some of the paragraphs."""

    paragraphs: int
    micro_f1: float | None
    """None where no topic is carried, so that there is nothing to find."""
    macro_f1: float | None
    """Mean over the topics that occur in them."""
    exact: float
    """Share of them given exactly the topics that they carry."""


class Covered(Quality):
    """Quality on the share of the paragraphs, `coverage`, of which the model is surest."""

    coverage: float


class Slice(Quality):
    """Quality on one kind of paragraph."""

    name: str


class Confusion(Frozen):
    """In so many paragraphs a topic was missed and another one given that they do not carry."""

    missed: str
    given: str
    paragraphs: int


class Outcomes(Frozen):
    """Paragraphs by what happened to their topics."""

    right: int
    missed: int
    """Something missed, nothing wrong given."""
    added: int
    """Nothing missed, something wrong given."""
    confused: int
    """Both."""


class Error(Frozen):
    """A paragraph that was judged wrongly."""

    id: str
    genre: str | None
    date: str | None
    text: str
    labels: tuple[str, ...]
    given: tuple[str, ...]
    probabilities: dict[str, float]
    """Of all topics named, the most probable first."""
    loss: float
    """Cross-entropy of the labels under the probabilities, in nats."""


def confidence(judged: Judgement) -> NDArray[np.float64]:
    """How sure the model is of each paragraph: the F1 that it expects of the topics it gives, (paragraphs,).

    2 Σ w p(given) / Σ w (given + p), the ratio of expectations; where no topic is given, the probability that none is
    carried, Π (1 - p). The weight w of a topic, the fourth root of how seldom it is in all the paragraphs, lies between
    a topic counting as often as it occurs, as in micro-F1, and as much as any other, as in macro-F1. Of two dozen
    measures (distance from the thresholds, entropy, the probability of the exact set, a model of the errors, …) it left
    the best F1, micro and macro, at nearly every coverage, on dev and on test.
    """
    p = judged.probabilities.astype(np.float64)
    said = judged.given + p
    weight = np.maximum(said.sum(axis=0), 1e-9) ** -0.25
    expected = 2 * (p * judged.given) @ weight / (said @ weight)
    sure: NDArray[np.float64] = np.where(judged.given.any(axis=1), expected, np.prod(1 - p, axis=1))
    return sure


def risk_coverage(judged: Judgement, labels: Labels) -> list[Covered]:
    """Quality on the surest 5 %, 10 %, … 100 % of the paragraphs."""
    order = np.argsort(-confidence(judged), kind="stable")
    points = []
    for percent in range(5, 101, 5):
        surest = order[: max(round(percent / 100 * len(order)), 1)]
        points.append(Covered(coverage=percent / 100, **_scores(judged.given[surest], labels[surest])))
    return points


def outcomes(given: Labels, labels: Labels) -> Outcomes:
    missed, added = (labels & ~given).any(axis=1), (given & ~labels).any(axis=1)
    return Outcomes(
        right=int((~missed & ~added).sum()),
        missed=int((missed & ~added).sum()),
        added=int((~missed & added).sum()),
        confused=int((missed & added).sum()),
    )


def confusions(given: Labels, labels: Labels, topic_ids: Sequence[str]) -> list[Confusion]:
    """Every pair of a missed topic and one given instead, the most frequent first."""
    pairs = (labels & ~given).astype(int).T @ (given & ~labels).astype(int)
    rows = [
        Confusion(missed=topic_ids[i], given=topic_ids[j], paragraphs=int(pairs[i, j])) for i, j in np.argwhere(pairs)
    ]
    return sorted(rows, key=lambda row: -row.paragraphs)


def slices(rows: Sequence[LabelledParagraph], given: Labels, labels: Labels) -> dict[str, list[Slice]]:
    """Quality by genre, decade, length and number of labels."""
    kinds: dict[str, Callable[[LabelledParagraph], str]] = {
        "genre": lambda row: row.genre or UNKNOWN,
        "decade": _decade,
        "length": _length,
        "labels": lambda row: str(len(row.labels)),
    }
    return {kind: _sliced([name(row) for row in rows], given, labels, kind) for kind, name in kinds.items()}


def worst_errors(
    rows: Sequence[LabelledParagraph], judged: Judgement, labels: Labels, taxonomy: Taxonomy, most: int
) -> list[Error]:
    """The paragraphs that were judged wrongly with the most conviction: the largest cross-entropy first."""
    p = np.clip(judged.probabilities.astype(np.float64), 1e-6, 1 - 1e-6)
    loss = -np.where(labels, np.log(p), np.log(1 - p)).sum(axis=1)
    wrong = np.flatnonzero((judged.given != labels).any(axis=1))
    worst = wrong[np.argsort(-loss[wrong], kind="stable")][:most]
    return [_error(rows[i], judged.probabilities[i], judged.given[i], float(loss[i]), taxonomy) for i in worst]


def _error(
    row: LabelledParagraph, probabilities: NDArray[np.float32], given: Labels, loss: float, taxonomy: Taxonomy
) -> Error:
    order = [int(i) for i in np.argsort(-probabilities, kind="stable")]
    ids = taxonomy.ids
    return Error(
        id=row.id,
        genre=row.genre,
        date=row.date,
        text=row.text,
        labels=row.labels,
        given=tuple(ids[i] for i in order if given[i]),
        probabilities={ids[i]: round(float(probabilities[i]), 4) for i in order if given[i] or ids[i] in row.labels},
        loss=loss,
    )


def _sliced(names: Sequence[str], given: Labels, labels: Labels, kind: str) -> list[Slice]:
    counts = Counter(names)

    def place(name: str) -> tuple[bool, int]:
        """Genres by size, all else by the number it begins with; what is not known comes last."""
        number = re.match(r"\d+", name)
        return name == UNKNOWN, -counts[name] if kind == "genre" or not number else int(number[0])

    members = {name: np.array([each == name for each in names]) for name in sorted(counts, key=place)}
    return [Slice(name=name, **_scores(given[inside], labels[inside])) for name, inside in members.items()]


def _scores(given: Labels, labels: Labels) -> dict[str, Any]:
    """The fields of `Quality`."""
    carried = labels.any(axis=0)
    whole = given.sum() + labels.sum()
    return {
        "paragraphs": len(labels),
        "micro_f1": float(2 * (given & labels).sum() / whole) if carried.any() else None,
        "macro_f1": float(f1_scores(given, labels)[carried].mean()) if carried.any() else None,
        "exact": float((given == labels).all(axis=1).mean()),
    }


def _decade(row: LabelledParagraph) -> str:
    year = (row.date or "")[:4]
    return f"{year[:3]}0s" if year.isascii() and year.isdigit() and len(year) == 4 else UNKNOWN


def _length(row: LabelledParagraph) -> str:
    below = 1
    for bound in _LENGTHS:
        if len(row.text) <= bound:
            return f"{below}–{bound}"
        below = bound + 1
    return f"{below}+"
