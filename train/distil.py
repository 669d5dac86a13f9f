"""Distillation: what an ensemble says of unlabelled paragraphs, for one encoder to learn from (Hinton et al. 2015).

The ensemble is a few bundles and a linear model over character n-grams. They err differently: their mean is better than
any of them, and a student that has read it on enough text comes near it at the cost of one encoder.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

import numpy as np
from datasets import Dataset

from configs.settings import DistilSettings, EngineSettings, Settings, resolve
from configs.taxonomy import Taxonomy
from policy_topics.bundle import Bundle, load_bundle
from policy_topics.calibration import Calibration
from policy_topics.classifier import Classifier
from policy_topics.errors import TrainingError
from train.baselines import linear_scores
from train.calibrate import Logits, fit_calibration
from train.corpus import read_corpus
from train.dataset import LabelledParagraph, as_dataset, data_fingerprint
from train.export import label_matrix, paragraph_logits
from train.metrics import Labels, Probabilities
from train.runs import claim

_SHORTEST, _LONGEST = 40, 480
"""Characters of a line that counts as a paragraph: shorter ones are headings, longer ones are run together."""
_FURTHEST = 12.0
"""Log-odds beyond which a model's certainty counts no more, so that one cannot outvote all the others."""
_SHARED_RUN = 16
"""Characters that a paragraph may not have in common with a paragraph held out."""


def soft_paragraphs(
    rows: Sequence[LabelledParagraph],
    dev: Sequence[LabelledParagraph],
    test: Sequence[LabelledParagraph],
    taxonomy: Taxonomy,
    settings: Settings,
    folder: Path,
) -> Dataset | None:
    """Paragraphs of the corpus with the ensemble's probabilities as labels, in the form of `as_dataset`.

    Args:
        rows: what the linear model learns from.
        dev: what the ensemble's members are calibrated on.
        test: no paragraph shares a run of characters with these or with dev.
        folder: where they are kept, for a training that was cut off.

    Returns:
        None where the settings name no corpus.

    Raises:
        TrainingError: the corpus holds no such paragraph, a teacher has other topics, or `folder` holds paragraphs of
            other settings, data or topics.
    """
    if settings.distil.corpus is None:
        return None
    teachers = [_teacher(resolve(teacher), taxonomy) for teacher in settings.distil.teachers]
    facts = {
        **settings.distil.model_dump(mode="json"),
        "versions": [teacher.version for teacher in teachers],
        "labelled": [data_fingerprint(part) for part in (rows, dev, test)],
        "topics": list(taxonomy.ids),  # what the columns of the labels mean
    }
    claim(folder, facts)
    done = folder / "paragraphs"
    if not done.exists():
        part = folder / "paragraphs.part"
        shutil.rmtree(part, ignore_errors=True)
        _soft(rows, dev, [*dev, *test], taxonomy, settings.distil, settings.engine).save_to_disk(str(part))
        part.rename(done)
    return Dataset.load_from_disk(str(done))


def _soft(
    rows: Sequence[LabelledParagraph],
    dev: Sequence[LabelledParagraph],
    held_out: Sequence[LabelledParagraph],
    taxonomy: Taxonomy,
    settings: DistilSettings,
    engine: EngineSettings,
) -> Dataset:
    texts = sample_paragraphs(settings, held_out)
    probabilities = ensemble(texts, rows, dev, taxonomy, [resolve(t) for t in settings.teachers], engine)
    soft = as_dataset([LabelledParagraph(f"unlabelled:{i}", text, ()) for i, text in enumerate(texts)], taxonomy)
    features = soft.features
    return soft.remove_columns("labels").add_column("labels", probabilities.tolist()).cast(features)


def sample_paragraphs(settings: DistilSettings, held_out: Sequence[LabelledParagraph]) -> list[str]:
    """Clean lines of the corpus, each once, the same ones every time; sources as `settings.source_weights` says."""
    if settings.corpus is None:
        raise TrainingError("no corpus to distil with; set distil.corpus")
    runs = {run for row in held_out for run in _runs(row.text)}
    lines = {
        line
        for text in read_corpus(resolve(settings.corpus), settings.source_weights, 0.0)
        for line in text.text.split("\n")
        if _SHORTEST <= len(line) <= _LONGEST
    }
    texts: list[str] = []
    for line in sorted(lines, key=lambda line: crc32(line.encode("utf-8"), settings.seed)):
        if len(texts) == settings.paragraphs:
            break
        if not any(run in runs for run in _runs(line)):
            texts.append(line)
    if not texts:
        raise TrainingError(f"{settings.corpus}: no line of {_SHORTEST} to {_LONGEST} characters to distil with")
    return texts


def ensemble(
    texts: Sequence[str],
    rows: Sequence[LabelledParagraph],
    dev: Sequence[LabelledParagraph],
    taxonomy: Taxonomy,
    teachers: Sequence[Path],
    engine: EngineSettings,
) -> Probabilities:
    """Probabilities of the mean of a linear model and the teachers, each of which counts alike."""
    everything = [row.text for row in dev] + list(texts)
    labels = label_matrix(dev, taxonomy)
    linear = _log_odds(linear_scores(rows, everything, taxonomy), labels)
    read = [_log_odds(_scores(teacher, everything, taxonomy, engine), labels) for teacher in teachers]
    mean = np.mean([linear, *read], axis=0)
    calibration = fit_calibration(mean[: len(dev)], labels)
    return calibration.probabilities(mean[len(dev) :])


def _teacher(folder: Path, taxonomy: Taxonomy) -> Bundle:
    teacher = load_bundle(folder)
    if teacher.taxonomy.ids != taxonomy.ids:
        raise TrainingError(f"{folder} has other topics than the taxonomy; name teachers of the same topics")
    return teacher


def _scores(teacher: Path, texts: Sequence[str], taxonomy: Taxonomy, engine: EngineSettings) -> Logits:
    return paragraph_logits(Classifier.load(teacher, engine), texts)


def _log_odds(scores: Logits, labels: Labels) -> Logits:
    """Scores, dev's first, as calibrated log-odds."""
    calibration: Calibration = fit_calibration(scores[: len(labels)], labels)
    return np.asarray(np.clip(scores / calibration.temperature + calibration.bias, -_FURTHEST, _FURTHEST), np.float32)


def _runs(text: str) -> list[str]:
    return [text[i : i + _SHARED_RUN] for i in range(max(1, len(text) - _SHARED_RUN + 1))]
