"""`policy-topics train`: labelled files in, a checked and measured bundle out."""

from __future__ import annotations

import json
import platform
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from configs.settings import Settings, resolve
from configs.taxonomy import Taxonomy
from policy_topics.bundle import MANIFEST, Bundle, Provenance, load_bundle, write_manifest
from policy_topics.classifier import Classifier
from policy_topics.engine import available_cores
from policy_topics.errors import TrainingError
from train.baselines import Baseline, baselines
from train.card import model_card
from train.dataset import LabelledParagraph, as_dataset, data_fingerprint, read
from train.distil import soft_paragraphs
from train.export import Exported, export
from train.finetune import backbone_folder, finetune
from train.hardware import quiet
from train.metrics import Metrics
from train.report import Report, make_report
from train.split import without_leaks


@dataclass(frozen=True, slots=True)
class Trained:
    bundle: Bundle
    metrics: dict[str, Metrics]
    """By split: dev, and test if there is one."""
    left_out: tuple[LabelledParagraph, ...]
    """Training paragraphs that stand in dev or test too."""


def train(settings: Settings, taxonomy: Taxonomy, out: Path, work: Path, say: Callable[[str], None]) -> Trained:
    """Train on `settings.data` and write the bundle to `out`.

    Args:
        out: folder of the bundle, which must not exist; its name is the bundle's name.
        work: folder beside it for checkpoints, removed at the end; a training that was cut off goes on from there.
        say: told what is done, a line at a time.

    Raises:
        DataError, TrainingError: naming the fault and the fix.
    """
    if out.exists():
        raise TrainingError(f"{out} exists; give another folder or remove it")
    quiet()
    held_out = {"dev": _read(settings.data.dev_files, taxonomy), "test": _read(settings.data.test_files, taxonomy)}
    if not held_out["dev"]:
        raise TrainingError("no dev paragraphs to stop, calibrate and set thresholds on; set data.dev_files")
    if not any(row.labels for row in held_out["dev"]):
        raise TrainingError("no dev paragraph carries a topic, so nothing can be calibrated; label some")
    rows, left_out = without_leaks(
        _read(settings.data.files, taxonomy), [*held_out["dev"], *held_out["test"]], settings.data.duplicate_similarity
    )
    if not rows:
        raise TrainingError("every training paragraph stands in dev or test too; give others with --data")
    say(f"{len(rows)} paragraphs to train on, {len(held_out['dev'])} dev, {len(held_out['test'])} test")
    if left_out:
        say(f"left out of training, for they stand in dev or test too: {', '.join(str(r.line) for r in left_out)}")
    parent = _parent(settings.finetune.backbone)
    soft = soft_paragraphs(rows, held_out["dev"], held_out["test"], taxonomy, settings, work / "soft")
    if soft:
        say(f"and {len(soft)} paragraphs of {settings.distil.corpus}, as an ensemble labels them")
    sets = as_dataset(rows, taxonomy), as_dataset(held_out["dev"], taxonomy)
    models = finetune(*sets, taxonomy, settings.finetune, work, soft)
    for model in models:
        say(f"seed {model.seed}: macro-F1 {model.macro_f1:.4f} on dev")
    provenance = Provenance(out.name, settings.finetune.max_tokens, data_fingerprint(rows), parent)
    say("writing the engine's file and calibrating")
    staged = work / "bundle"  # takes its place whole, when all of it is there
    shutil.rmtree(staged, ignore_errors=True)
    exported = export(models[0].model, staged, provenance, held_out["dev"], taxonomy, settings.export)
    classifier = Classifier.load(staged, settings.engine)
    say("measuring it, beside simple models")
    threads = settings.engine.threads or available_cores()
    reports = {
        split: make_report(classifier, held_out[split], threads, simple)
        for split, simple in _baselines(rows, held_out, taxonomy).items()
    }
    sources = Counter("/".join(row.line.file.parts[-2:]) for row in rows)
    if soft:
        teachers = f"a linear model and {len(settings.distil.teachers)} bundles"
        sources[f"unlabelled text, with the probabilities that {teachers} give"] = len(soft)
    _document(staged, exported, reports, sources, settings.finetune.backbone, taxonomy, classifier.engine.name)
    write_manifest(staged, provenance, exported.gates[-1].precision)
    out.parent.mkdir(parents=True, exist_ok=True)
    staged.rename(out)
    shutil.rmtree(work)
    return Trained(load_bundle(out), {split: each.served for split, each in reports.items()}, tuple(left_out))


def _read(files: Sequence[Path], taxonomy: Taxonomy) -> list[LabelledParagraph]:
    return read([resolve(file) for file in files], taxonomy)


def _baselines(
    rows: Sequence[LabelledParagraph], held_out: Mapping[str, Sequence[LabelledParagraph]], taxonomy: Taxonomy
) -> dict[str, list[Baseline]]:
    """Simple models trained on the same rows once, and their scores of each split that has any paragraph."""
    splits = {split: part for split, part in held_out.items() if part}
    ends = np.cumsum([len(part) for part in splits.values()])[:-1]
    both = baselines(rows, [row.text for part in splits.values() for row in part], taxonomy)
    scores = [np.split(each.scores, ends) for each in both]
    return {
        split: [replace(each, scores=parts[i]) for each, parts in zip(both, scores, strict=True)]
        for i, split in enumerate(splits)
    }


def _parent(backbone: str) -> str | None:
    folder = backbone_folder(backbone)
    return load_bundle(folder).version if (folder / MANIFEST).is_file() else None


def _document(
    out: Path,
    exported: Exported,
    reports: Mapping[str, Report],
    sources: Mapping[str, int],
    backbone: str,
    taxonomy: Taxonomy,
    engine: str,
) -> None:
    """Put the figures and the card into the bundle."""
    gate, name = exported.gates[-1], exported.bundle.name
    figures: dict[str, Any] = {"gates": [asdict(each) for each in exported.gates]}
    figures |= {split: each.figures() for split, each in reports.items()}
    (out / "metrics.json").write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    machine = f"{available_cores()} cores, {platform.machine()}, {platform.system()}"
    card = model_card(name, taxonomy, reports, gate, f"{engine}, {machine}", sources, backbone)
    (out / "MODEL_CARD.md").write_text(card, "utf-8")
