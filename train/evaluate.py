"""Evaluation: which topics paragraphs are given, as a bundle serves or with other thresholds, and the figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from configs.taxonomy import Taxonomy
from policy_topics.calibration import Calibration
from policy_topics.classifier import Classifier, pool
from policy_topics.errors import DataError
from train.calibrate import CANDIDATES, Logits, fit_calibration
from train.dataset import LabelledParagraph
from train.export import label_matrix
from train.metrics import Labels, Metrics, Probabilities, f1_scores, measure


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is said of paragraphs.

    Attributes:
        probabilities: calibrated, (paragraphs, topics).
        given: the topics given, (paragraphs, topics).
    """

    probabilities: Probabilities
    given: Labels


def evaluate(classifier: Classifier, rows: Sequence[LabelledParagraph]) -> Metrics:
    """The figures of a bundle on labelled paragraphs, with its own calibration and thresholds.

    Raises:
        DataError: no rows.
    """
    taxonomy = classifier.bundle.taxonomy
    judged, _ = served(classifier, rows)
    return measure(judged.probabilities, judged.given, label_matrix(rows, taxonomy), taxonomy.ids)


def served(classifier: Classifier, rows: Sequence[LabelledParagraph]) -> tuple[Judgement, Logits]:
    """Paragraphs as the bundle serves them, and the logits that it comes from, (paragraphs, topics).

    Raises:
        DataError: no rows.
    """
    if not rows:
        raise DataError("no paragraphs to measure on; name a file of labelled paragraphs, or set data.test_files")
    tokenised = classifier.tokenise([row.text for row in rows])
    windows = classifier.logits(tokenised)
    predictions = classifier.decode(windows, tokenised)
    given = [{topic.id for topic in prediction.topics} for prediction in predictions]
    judged = Judgement(
        probabilities=np.array([prediction.probabilities for prediction in predictions], np.float32),
        given=np.array([[topic in ids for topic in classifier.bundle.taxonomy.ids] for ids in given], np.bool_),
    )
    return judged, np.array([pool(each) for each in windows], np.float32)


def own(scores: Logits, labels: Labels) -> Judgement:
    """With calibration set on these very paragraphs, and the thresholds at which they give the best F1. Kind."""
    probabilities = fit_calibration(scores, labels).probabilities(scores)
    f1 = np.array([f1_scores(probabilities >= threshold, labels) for threshold in CANDIDATES])
    return Judgement(probabilities, probabilities >= CANDIDATES[f1.argmax(axis=0)])


def cross(scores: Logits, labels: Labels, half: NDArray[np.bool_]) -> Judgement:
    """Each half, (paragraphs,), with calibration and thresholds set on the other half."""
    probabilities, given = np.zeros_like(scores), np.zeros_like(labels)
    for judged in (half, ~half):
        part = _judge(scores[judged], fit_calibration(scores[~judged], labels[~judged]))
        probabilities[judged], given[judged] = part.probabilities, part.given
    return Judgement(probabilities, given)


def halves(rows: Sequence[LabelledParagraph]) -> NDArray[np.bool_] | None:
    """Which half each paragraph is in, (paragraphs,), documents left whole; none where one half would be empty."""
    half = np.array([crc32((row.document or row.id).encode()) % 2 == 0 for row in rows], np.bool_)
    return half if half.any() and not half.all() else None


def documents(rows: Sequence[LabelledParagraph]) -> NDArray[np.intp]:
    """The number of each paragraph's document, 0 to documents - 1, (paragraphs,); without one it stands alone."""
    keys = [("document", row.document) if row.document else ("id", row.id) for row in rows]
    number = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    return np.array([number[key] for key in keys], np.intp)


def markdown(metrics: Metrics, taxonomy: Taxonomy, crossed: Metrics | None = None) -> str:
    """The figures as two tables; `crossed`: those with thresholds set on the other half, in a column of their own."""
    columns = [metrics, crossed] if crossed else [metrics]
    head = ["value 数值"] if crossed is None else ["as served 自带阈值", "cross 交叉阈值"]
    headline = [
        ["paragraphs 段落数", *(str(each.paragraphs) for each in columns)],
        ["micro-F1", *(f"{each.micro_f1:.4f}" for each in columns)],
        ["macro-F1", *(f"{each.macro_f1:.4f}" for each in columns)],
        ["top-1 hit rate 首位命中率", *(f"{each.top1_hit:.4f}" for each in columns)],
        ["ECE, all pairs 校准误差（全部）", *(f"{each.ece:.4f}" for each in columns)],
        ["ECE, top-1 校准误差（首位）", *(f"{each.ece_top1:.4f}" for each in columns)],
        ["Brier score", *(f"{each.brier:.4f}" for each in columns)],
    ]
    topics = [
        [f"`{topic.id}`", topic.zh, f"{row.precision:.3f}", f"{row.recall:.3f}", f"{row.f1:.3f}", str(row.support)]
        for topic in taxonomy.topics
        for row in [metrics.topics[topic.id]]
    ]
    return "\n".join(
        [
            table(["measure 指标", *head], headline),
            table(["topic", "主题", "precision 精确率", "recall 召回率", "F1", "support 段落数"], topics, names=2),
        ]
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]], names: int = 1) -> str:
    """A Markdown table whose first `names` columns are words; the others are numbers."""
    rule = ["---"] * names + ["---:"] * (len(head) - names)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in [head, rule, *rows])


def _judge(scores: Logits, calibration: Calibration) -> Judgement:
    probabilities = calibration.probabilities(scores)
    return Judgement(probabilities, probabilities >= calibration.threshold)
