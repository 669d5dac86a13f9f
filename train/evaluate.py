"""Evaluation of a bundle, as it serves, on labelled paragraphs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from configs.taxonomy import Taxonomy
from policy_topics.classifier import Classifier
from policy_topics.errors import DataError
from train.dataset import LabelledParagraph
from train.export import label_matrix
from train.metrics import Metrics, measure


def evaluate(classifier: Classifier, rows: Sequence[LabelledParagraph]) -> Metrics:
    """The figures of a bundle on labelled paragraphs, with its own calibration and thresholds.

    Raises:
        DataError: no rows.
    """
    if not rows:
        raise DataError("no paragraphs to measure on; name a file of labelled paragraphs, or set data.test_files")
    taxonomy = classifier.bundle.taxonomy
    predictions = classifier.classify([row.text for row in rows])
    given = [{topic.id for topic in prediction.topics} for prediction in predictions]
    predicted = np.array([[topic in ids for topic in taxonomy.ids] for ids in given], np.bool_)
    probabilities = np.array([prediction.probabilities for prediction in predictions], np.float32)
    return measure(probabilities, predicted, label_matrix(rows, taxonomy), taxonomy.ids)


def markdown(metrics: Metrics, taxonomy: Taxonomy) -> str:
    """The figures as two tables."""
    lines = [
        "| measure | value |",
        "| --- | ---: |",
        f"| paragraphs 段落数 | {metrics.paragraphs} |",
        f"| micro-F1 | {metrics.micro_f1:.4f} |",
        f"| macro-F1 | {metrics.macro_f1:.4f} |",
        f"| top-1 hit rate 首位命中率 | {metrics.top1_hit:.4f} |",
        f"| ECE, all pairs 校准误差（全部） | {metrics.ece:.4f} |",
        f"| ECE, top-1 校准误差（首位） | {metrics.ece_top1:.4f} |",
        f"| Brier score | {metrics.brier:.4f} |",
        "",
        "| topic | 主题 | precision | recall | F1 | support |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for topic in taxonomy.topics:
        row = metrics.topics[topic.id]
        figures = " | ".join(f"{value:.3f}" for value in (row.precision, row.recall, row.f1))
        lines.append(f"| `{topic.id}` | {topic.zh} | {figures} | {row.support} |")
    return "\n".join(lines) + "\n"
