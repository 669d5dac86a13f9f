"""Labels that a simple model, trained on the other documents, finds hard to believe: a list for a person to look at.

Confident learning: C. Northcutt, L. Jiang, I. Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels",
JAIR 2021, by cleanlab; one topic at a time, as A. Thyagarajan et al., "Identifying Incorrect Annotations in Multi-Label
Classification Data", 2022, do.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from configs.taxonomy import Taxonomy
from train.baselines import TopicScores, linear_scores
from train.calibrate import fit_calibration
from train.dataset import LabelledParagraph
from train.export import label_matrix
from train.metrics import Probabilities

FOLDS = 5

FEWEST = 10
"""A topic with fewer paragraphs is not judged: four fifths of them teach a model too little."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A paragraph of which some labels are doubtful.

    Attributes:
        row: its index.
        carried: topics that it carries and perhaps should not, with their out-of-fold probability.
        missing: topics that it does not carry and perhaps should, likewise.
        belief: the least probability that one of these labels is right; the smaller, the more suspicious.
    """

    row: int
    carried: dict[str, float]
    missing: dict[str, float]
    belief: float


def suspects(
    rows: Sequence[LabelledParagraph], groups: Sequence[Sequence[int]], taxonomy: Taxonomy
) -> tuple[Suspect, ...]:
    """Doubtful labels, the most suspicious first; the same rows give the same list.

    Args:
        groups: indices of the rows that belong together, so that no paragraph is judged by its like.
    """
    labels = label_matrix(rows, taxonomy)
    if len(groups) < FOLDS:
        return ()
    fewer = np.minimum(labels.sum(axis=0), (~labels).sum(axis=0))
    judged = np.flatnonzero(fewer >= FEWEST)
    probabilities = out_of_fold(rows, groups, taxonomy)
    flagged = np.zeros_like(labels)
    for topic in judged:
        flagged[:, topic] = _issues(labels[:, topic], probabilities[:, topic])
    belief = np.where(labels, probabilities, 1 - probabilities)
    found = []
    for row in np.flatnonzero(flagged.any(axis=1)):
        topics = np.flatnonzero(flagged[row])
        carried, missing = (
            {taxonomy.ids[i]: round(float(probabilities[row, i]), 4) for i in topics if labels[row, i] == kind}
            for kind in (True, False)
        )
        found.append(Suspect(int(row), carried, missing, float(belief[row, topics].min())))
    return tuple(sorted(found, key=lambda suspect: (suspect.belief, suspect.row)))


def out_of_fold(
    rows: Sequence[LabelledParagraph], groups: Sequence[Sequence[int]], taxonomy: Taxonomy
) -> Probabilities:
    """Probabilities of each row by linear models that saw none of its group, calibrated, (rows, topics)."""
    fold = _folds(groups, len(rows))
    scores: TopicScores = np.zeros((len(rows), len(taxonomy.ids)), np.float32)
    for number in range(FOLDS):
        learnt = [row for row, own in zip(rows, fold, strict=True) if own != number]
        scores[fold == number] = linear_scores(
            learnt, [row.text for row, own in zip(rows, fold, strict=True) if own == number], taxonomy
        )
    return fit_calibration(scores, label_matrix(rows, taxonomy)).probabilities(scores)


def _folds(groups: Sequence[Sequence[int]], rows: int) -> NDArray[np.intp]:
    """The fold of each row, of about equal size."""
    shuffled = list(groups)
    random.Random(13).shuffle(shuffled)
    fold, sizes = np.zeros(rows, np.intp), [0] * FOLDS
    for group in sorted(shuffled, key=len, reverse=True):
        smallest = sizes.index(min(sizes))
        fold[list(group)] = smallest
        sizes[smallest] += len(group)
    return fold


def _issues(labels: NDArray[np.bool_], probabilities: Probabilities) -> NDArray[np.bool_]:
    """Which paragraphs' answer about one topic is doubtful, (paragraphs,)."""
    from cleanlab.filter import find_label_issues

    both = np.stack([1 - probabilities, probabilities], axis=1)
    flagged: NDArray[np.bool_] = find_label_issues(labels.astype(int), both, n_jobs=1)
    return flagged
