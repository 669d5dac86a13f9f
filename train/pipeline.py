"""`policy-topics train`: labelled files in, a checked and measured bundle out."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from configs.settings import Settings, resolve
from configs.taxonomy import Taxonomy
from policy_topics.bundle import MANIFEST, Bundle, Provenance, load_bundle, write_manifest
from policy_topics.classifier import Classifier
from policy_topics.engine import available_cores
from policy_topics.errors import TrainingError
from train.card import model_card
from train.dataset import LabelledParagraph, as_dataset, read
from train.evaluate import evaluate
from train.export import Exported, export
from train.finetune import backbone_folder, finetune
from train.hardware import quiet
from train.metrics import Metrics
from train.split import inseparable


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
    rows, left_out = _without_leaks(
        _read(settings.data.files, taxonomy), [*held_out["dev"], *held_out["test"]], settings.data.duplicate_similarity
    )
    if not rows:
        raise TrainingError("every training paragraph stands in dev or test too; give others with --data")
    say(f"{len(rows)} paragraphs to train on, {len(held_out['dev'])} dev, {len(held_out['test'])} test")
    if left_out:
        say(f"left out of training, for they stand in dev or test too: {', '.join(str(r.line) for r in left_out)}")
    parent = _parent(settings.finetune.backbone)
    sets = as_dataset(rows, taxonomy), as_dataset(held_out["dev"], taxonomy)
    models = finetune(*sets, taxonomy, settings.finetune, work)
    for model in models:
        say(f"seed {model.seed}: macro-F1 {model.macro_f1:.4f} on dev")
    provenance = Provenance(out.name, settings.finetune.max_tokens, data_fingerprint(rows), parent)
    say("writing the engine's file and calibrating")
    staged = work / "bundle"  # takes its place whole, when all of it is there
    shutil.rmtree(staged, ignore_errors=True)
    exported = export(models[0].model, staged, provenance, held_out["dev"], taxonomy, settings.export)
    classifier = Classifier.load(staged, settings.engine)
    metrics = {split: evaluate(classifier, part) for split, part in held_out.items() if part}
    _document(staged, exported, metrics, rows, settings.finetune.backbone, taxonomy, classifier.engine.name)
    write_manifest(staged, provenance, exported.gates[-1].precision)
    out.parent.mkdir(parents=True, exist_ok=True)
    staged.rename(out)
    shutil.rmtree(work)
    return Trained(load_bundle(out), metrics, tuple(left_out))


def data_fingerprint(rows: Sequence[LabelledParagraph]) -> str:
    """Hash of texts and labels, whatever their order."""
    lines = sorted(json.dumps([row.text, row.labels], ensure_ascii=False) for row in rows)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _read(files: Sequence[Path], taxonomy: Taxonomy) -> list[LabelledParagraph]:
    return read([resolve(file) for file in files], taxonomy)


def _without_leaks(
    rows: Sequence[LabelledParagraph], held_out: Sequence[LabelledParagraph], similarity: float
) -> tuple[list[LabelledParagraph], list[LabelledParagraph]]:
    """Training rows that are like no row of dev or test, nor from one of their documents; and the rest."""
    groups = inseparable([*rows, *held_out], similarity)
    leaks = {i for group in groups if max(group) >= len(rows) for i in group if i < len(rows)}
    return [row for i, row in enumerate(rows) if i not in leaks], [rows[i] for i in sorted(leaks)]


def _parent(backbone: str) -> str | None:
    folder = backbone_folder(backbone)
    return load_bundle(folder).version if (folder / MANIFEST).is_file() else None


def _document(
    out: Path,
    exported: Exported,
    metrics: Mapping[str, Metrics],
    rows: Sequence[LabelledParagraph],
    backbone: str,
    taxonomy: Taxonomy,
    engine: str,
) -> None:
    """Put the figures and the card into the bundle."""
    gate, name = exported.gates[-1], exported.bundle.name
    figures: dict[str, Any] = {"gates": [asdict(each) for each in exported.gates]}
    figures |= {split: each.model_dump() for split, each in metrics.items()}
    (out / "metrics.json").write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    trained_on = Counter("/".join(row.line.file.parts[-2:]) for row in rows)
    machine = f"{available_cores()} cores, {platform.machine()}, {platform.system()}"
    card = model_card(name, taxonomy, metrics, gate, f"{engine}, {machine}", trained_on, backbone)
    (out / "MODEL_CARD.md").write_text(card, "utf-8")
