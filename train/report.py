"""The report of an evaluation: every figure, as `report.json` for programs and `report.html` for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.taxonomy import Taxonomy
from policy_topics.classifier import Classifier
from policy_topics.reference import REFERENCE, Given, count_given
from train.analysis import (
    Confusion,
    Covered,
    Error,
    Frozen,
    Outcomes,
    Slice,
    confusions,
    outcomes,
    risk_coverage,
    slices,
    worst_errors,
)
from train.baselines import Baseline
from train.bootstrap import Difference, paired_bootstrap
from train.cost import Cost, measure_cost
from train.dataset import LabelledParagraph
from train.evaluate import Judgement, cross, documents, halves, served
from train.export import label_matrix
from train.metrics import Labels, Metrics, ReliabilityBin, measure, reliability
from train.page import render

COVERAGE = 0.8
"""The coverage whose figures are named."""

_ERRORS = 50

_NO_HALVES = (
    "段落只来自一份文档或太少，无法分成两半，因此没有交叉阈值的数字，也没有与简单模型的对比。"
    "All paragraphs are of one document, or too few: they make no two halves, so there are neither figures with cross "
    "thresholds nor a comparison with simple models."
)


class Compared(Frozen):
    """A simple model beside the bundle; both with calibration and thresholds set on the other half."""

    name: str
    trained_on: int
    """Paragraphs."""
    micro_f1: float
    macro_f1: float
    top1_hit: float
    difference: Difference
    """The bundle less this model."""


class Report(Frozen):
    """All figures of a bundle on some labelled paragraphs, as it serves them if not said otherwise."""

    bundle: str
    version: str
    taxonomy: int
    files: tuple[str, ...]
    documents: int
    """Paragraphs without a document count as one each."""
    served: Metrics
    """With the bundle's own calibration and thresholds."""
    cross: Metrics | None
    """Each half of the documents with calibration and thresholds set on the other half: what to look at where the
    bundle's own were set on these very paragraphs. None where there are no two halves."""
    reliability_pairs: tuple[ReliabilityBin, ...]
    """Over all pairs of a paragraph and a topic."""
    reliability_top1: tuple[ReliabilityBin, ...]
    """Over the most probable topic of each paragraph."""
    risk_coverage: tuple[Covered, ...]
    outcomes: Outcomes
    reference: Given
    """What the paragraphs were given: a service that runs the bundle is held against that."""
    confusions: tuple[Confusion, ...]
    slices: dict[str, tuple[Slice, ...]]
    compared: tuple[Compared, ...]
    cost: Cost
    errors: tuple[Error, ...]
    notes: tuple[str, ...]
    """What a reader should know: figures that are not here, and why. Chinese and English."""

    @property
    def covered(self) -> Covered:
        """Quality on the surest paragraphs, `COVERAGE` of them."""
        return min(self.risk_coverage, key=lambda point: abs(point.coverage - COVERAGE))

    def figures(self) -> dict[str, Any]:
        """What a bundle keeps in `metrics.json`: those of `served`, and the rest in short; no text."""
        kept = {"documents", "cross", "risk_coverage", "outcomes", REFERENCE, "slices", "compared", "cost"}
        return self.served.model_dump() | self.model_dump(include=kept, exclude={"cross": {"topics"}})


def make_report(
    classifier: Classifier,
    rows: Sequence[LabelledParagraph],
    threads: int,
    baselines: Sequence[Baseline] = (),
    notes: Sequence[str] = (),
) -> Report:
    """Judge labelled paragraphs and count.

    Args:
        threads: that the engine was given.
        baselines: simple models' scores of these rows; left out where there are no two halves to judge them by.
        notes: what the reader should know of how this came about, Chinese and English.

    Raises:
        DataError: no rows.
    """
    taxonomy = classifier.bundle.taxonomy
    judged, logits = served(classifier, rows)
    labels, half = label_matrix(rows, taxonomy), halves(rows)
    crossed = cross(logits, labels, half) if half is not None else None
    best = judged.probabilities.argmax(axis=1)
    best_hits = labels[np.arange(len(labels)), best]
    return Report(
        bundle=classifier.bundle.name,
        version=classifier.bundle.version,
        taxonomy=taxonomy.version,
        files=tuple(dict.fromkeys("/".join(row.line.file.parts[-2:]) for row in rows)),
        documents=int(documents(rows).max()) + 1,
        served=_measure(judged, labels, taxonomy),
        cross=_measure(crossed, labels, taxonomy) if crossed else None,
        reliability_pairs=tuple(reliability(judged.probabilities.ravel(), labels.ravel())),
        reliability_top1=tuple(reliability(judged.probabilities.max(axis=1), best_hits)),
        risk_coverage=tuple(risk_coverage(judged, labels)),
        outcomes=outcomes(judged.given, labels),
        reference=_given(judged, taxonomy),
        confusions=tuple(confusions(judged.given, labels, taxonomy.ids)),
        slices={kind: tuple(each) for kind, each in slices(rows, judged.given, labels).items()},
        compared=()
        if crossed is None or half is None
        else tuple(_compare(each, crossed, labels, half, documents(rows), taxonomy) for each in baselines),
        cost=measure_cost(classifier, [row.text for row in rows], threads),
        errors=tuple(worst_errors(rows, judged, labels, taxonomy, _ERRORS)),
        notes=(*notes, *(() if crossed else (_NO_HALVES,))),
    )


def write_report(report: Report, taxonomy: Taxonomy, folder: Path) -> None:
    """Write `report.json` and `report.html`, which needs no other file."""
    from train.plots import plots

    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps(report.model_dump(), ensure_ascii=False, indent=1)
    (folder / "report.json").write_text(content + "\n", "utf-8")
    names = {topic.id: topic for topic in taxonomy.topics}
    html = render("report.html.j2", report=report, topics=names, plots=plots(report, taxonomy))
    (folder / "report.html").write_text(html, "utf-8")


def _measure(judged: Judgement, labels: Labels, taxonomy: Taxonomy) -> Metrics:
    return measure(judged.probabilities, judged.given, labels, taxonomy.ids)


def _given(judged: Judgement, taxonomy: Taxonomy) -> Given:
    return count_given(
        taxonomy.ids,
        [
            {taxonomy.ids[i]: float(probabilities[i]) for i in np.flatnonzero(given)}
            for probabilities, given in zip(judged.probabilities, judged.given, strict=True)
        ],
    )


def _compare(
    baseline: Baseline,
    ours: Judgement,
    labels: Labels,
    half: NDArray[np.bool_],
    groups: NDArray[np.intp],
    taxonomy: Taxonomy,
) -> Compared:
    theirs = cross(baseline.scores, labels, half)
    metrics = _measure(theirs, labels, taxonomy)
    return Compared(
        name=baseline.name,
        trained_on=baseline.trained_on,
        **metrics.model_dump(include={"micro_f1", "macro_f1", "top1_hit"}),
        difference=paired_bootstrap(ours.given, theirs.given, labels, groups),
    )
