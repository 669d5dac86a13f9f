"""`policy-topics train`: labelled files in, a checked and measured bundle out, judged beside the one that serves."""

from __future__ import annotations

import fcntl
import json
import platform
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from configs.settings import FinetuneSettings, Settings, override, resolve
from configs.taxonomy import Taxonomy
from policy_topics.bundle import MANIFEST, Bundle, Provenance, load_bundle, write_manifest
from policy_topics.classifier import Classifier
from policy_topics.engine import available_cores, engine_threads
from policy_topics.errors import TrainingError
from policy_topics.registry import open_registry, served_bundle
from train import processes
from train.backbone import backbone_folder, open_backbone
from train.baselines import Baseline, baselines
from train.card import model_card
from train.dataset import LabelledParagraph, as_dataset, data_fingerprint
from train.distil import soft_paragraphs
from train.export import Exported, export
from train.finetune import Finetuned, finetune
from train.gate import behaviour_tests, judge
from train.hardware import quiet
from train.metrics import Metrics
from train.progress import Say
from train.report import Report, make_report
from train.stages import stages_of, write_stages
from train.tracking import Tracker
from train.training_data import TrainingData, read_training_data
from train.verdict import Verdict, write_verdict


@dataclass(frozen=True, slots=True)
class Trained:
    bundle: Bundle
    metrics: dict[str, Metrics]
    """By split: dev, and test if there is one."""
    left_out: tuple[LabelledParagraph, ...]
    """Training paragraphs that stand in dev or test too."""
    verdict: Verdict | None
    """None where nothing serves yet, or there is no test split to judge on."""
    registered: bool
    """Whether it is in the registry: where there is one and the verdict is good."""


def train(settings: Settings, taxonomy: Taxonomy, out: Path, work: Path, say: Say) -> Trained | None:
    """Train on `settings.data`, write the bundle to `out` and judge it beside the one that serves.

    Nothing but `out`, the verdict beside it and the registry's new version comes of it: what serves stays.
    Where several processes run this together, the first one alone writes, and None is returned in all others.

    Args:
        out: folder of the bundle, which must not exist; its name is the bundle's name.
        work: folder beside it for checkpoints, removed at the end; a training that was cut off goes on from there.
        say: told what is done, a line at a time.

    Raises:
        DataError, TrainingError: naming the fault and the fix.
    """
    say = say if processes.is_first() else lambda _: None
    _refuse_existing(out)
    quiet()
    settings = _warm_start(settings)
    backbone = str(settings.finetune.backbone)
    parent, incumbent = _bundle_at(backbone_folder(backbone)), _bundle_at(served_bundle(settings))
    open_backbone(settings.finetune, taxonomy)  # its faults are told now, not after the corpus has been labelled
    data = read_training_data(settings.data, taxonomy, say)
    _compare_topics(parent, taxonomy, data, say)
    if incumbent:
        behaviour_tests(settings, taxonomy, incumbent.taxonomy)  # their faults are told now, not after the training
    with _alone(work):
        _refuse_existing(out)
        tracker = Tracker(settings.tracking if processes.is_first() else None, work, out.name, say)
        tracker.parameters(_parameters(settings, taxonomy, data, parent))
        models, soft = _finetune(settings, taxonomy, data, work, say, tracker)
        processes.part()
        if not processes.is_first():
            return None
        with _fine_tuned_is_kept(work):
            provenance = Provenance(
                out.name, settings.finetune.max_tokens, data_fingerprint(data.rows), parent.version if parent else None
            )
            start = _start(parent, settings.finetune)
            staged = work / "bundle"  # takes its place whole, when all of it is there
            reports = _build(staged, models[0].model, provenance, start, settings, taxonomy, data, soft, say)
            out.parent.mkdir(parents=True, exist_ok=True)
            verdict = _judge(staged, incumbent, data.held_out["test"], settings, say)
            if verdict:
                write_verdict(verdict, out)
            registered = verdict is not None and verdict.passed and settings.registry is not None
            if verdict and registered:
                registry = open_registry(settings)
                write_verdict(verdict, registry.path(registry.add(staged)))
            _track(tracker, reports, load_bundle(staged), verdict)
            staged.rename(out)  # all that comes before can be done again where it was cut off
        shutil.rmtree(work)
    metrics = {split: each.served for split, each in reports.items()}
    return Trained(load_bundle(out), metrics, tuple(data.left_out), verdict, registered)


def _refuse_existing(out: Path) -> None:
    if out.exists():
        raise TrainingError(f"{out} exists; give another folder or remove it")


@contextmanager
def _alone(work: Path) -> Iterator[None]:
    """No other training in this folder meanwhile. The lock ends with its process, however that ends."""
    if not processes.is_first():
        yield
        return
    work.mkdir(parents=True, exist_ok=True)
    with (work / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TrainingError(f"another training runs in {work}; wait for it, or give another --out") from None
        yield


@contextmanager
def _fine_tuned_is_kept(work: Path) -> Iterator[None]:
    """A fault of what comes after fine-tuning says that the fine-tuned models are not lost."""
    try:
        yield
    except Exception as fault:
        fault.add_note(
            f"微调好的模型保存在 {work}，再次执行同一命令即从该处继续。"
            f"What was fine-tuned is kept in {work}; the same command goes on from there."
        )
        raise


def _warm_start(settings: Settings) -> Settings:
    """Settings with the bundle that serves as backbone where they name none."""
    if settings.finetune.backbone is not None:
        return settings
    served = served_bundle(settings)
    if not (served / MANIFEST).is_file():
        raise TrainingError(f"{served}: no bundle serves that a training could start from; give --backbone")
    return override(settings, {"finetune.backbone": str(served)})


def _bundle_at(folder: Path) -> Bundle | None:
    return load_bundle(folder) if (folder / MANIFEST).is_file() else None


def _start(parent: Bundle | None, settings: FinetuneSettings) -> str:
    """What it was fine-tuned from, for the card."""
    name = f"{parent.name} {parent.version}" if parent else "/".join(Path(str(settings.backbone)).parts[-2:])
    share = settings.start_share
    kept = f", {share:.0%} of whose weights it keeps in a mean of both (Wortsman et al. 2022)," if share else ""
    return f"`{name}`{kept}"


def _compare_topics(parent: Bundle | None, taxonomy: Taxonomy, data: TrainingData, say: Say) -> None:
    """Say which topics come and go, and how much there is to learn the new ones from."""
    if parent is None or parent.taxonomy.ids == taxonomy.ids:
        return
    if parent.manifest.taxonomy == taxonomy.version:
        raise TrainingError(
            f"the taxonomy and that of {parent.path} are both version {taxonomy.version}, but have other topics or "
            "another order; raise `version` in the taxonomy's file"
        )
    parts = {"to train on": data.rows, "dev": data.held_out["dev"], "test": data.held_out["test"]}
    for topic in taxonomy.ids:
        if topic not in parent.taxonomy.ids:
            counts = (f"{sum(topic in row.labels for row in rows)} {part}" for part, rows in parts.items())
            say(f"new topic {topic}: {', '.join(counts)}")
    if gone := [topic for topic in parent.taxonomy.ids if topic not in taxonomy.ids]:
        say(f"topics that are no more: {', '.join(gone)}")


def _finetune(
    settings: Settings, taxonomy: Taxonomy, data: TrainingData, work: Path, say: Say, tracker: Tracker
) -> tuple[list[Finetuned], int]:
    """The models, the best first, and how many unlabelled paragraphs they have learnt from."""
    with processes.first_before_others():
        soft = soft_paragraphs(
            data.rows, data.held_out["dev"], data.held_out["test"], taxonomy, settings, work / "soft"
        )
    if soft:
        say(f"and {len(soft)} paragraphs of {settings.distil.corpus}, as an ensemble labels them")
    sets = as_dataset(data.rows, taxonomy), as_dataset(data.held_out["dev"], taxonomy)
    models = finetune(*sets, taxonomy, settings.finetune, work, soft, say, tracker.figures)
    for model in models:
        say(f"seed {model.seed}: macro-F1 {model.macro_f1:.4f} on dev")
    return models, len(soft) if soft else 0


def _build(
    staged: Path,
    model: Path,
    provenance: Provenance,
    start: str,
    settings: Settings,
    taxonomy: Taxonomy,
    data: TrainingData,
    soft: int,
    say: Say,
) -> dict[str, Report]:
    """The bundle, calibrated, measured and documented, in a new folder; returns its report of each split."""
    say("writing the engine's file and calibrating")
    shutil.rmtree(staged, ignore_errors=True)
    exported = export(model, staged, provenance, data.held_out["dev"], taxonomy, settings.export)
    classifier = Classifier.load(staged, settings.engine)
    say("measuring it, beside simple models")
    threads = engine_threads(settings.engine)
    reports = {
        split: make_report(classifier, data.held_out[split], threads, simple)
        for split, simple in _baselines(data.rows, data.held_out, taxonomy).items()
    }
    sources = Counter(map(_file, data.rows))
    if soft:
        bundles = [load_bundle(resolve(each)) for each in settings.distil.teachers]
        teachers = " and ".join(["a linear model", *(f"{each.name} {each.version}" for each in bundles)])
        sources[f"unlabelled text, with the probabilities that {teachers} give"] = soft
    write_stages(staged, stages_of(backbone_folder(str(settings.finetune.backbone))))
    judged_on = {split: ", ".join(sorted({_file(row) for row in rows})) for split, rows in data.held_out.items()}
    _document(staged, exported, reports, sources, judged_on, start, taxonomy, classifier.engine.name)
    write_manifest(staged, provenance, exported.checks[-1].precision)
    return reports


def _judge(
    staged: Path, incumbent: Bundle | None, test: Sequence[LabelledParagraph], settings: Settings, say: Say
) -> Verdict | None:
    if incumbent is None or not test:
        say("not judged: " + ("no bundle serves yet" if incumbent is None else "there is no test split"))
        return None
    say(f"judging it beside {incumbent.name} {incumbent.version}, which serves")
    return judge(staged, incumbent.path, test, settings)


def _parameters(settings: Settings, taxonomy: Taxonomy, data: TrainingData, parent: Bundle | None) -> dict[str, Any]:
    chosen = settings.model_dump(mode="json", include={"finetune", "distil", "export", "data"})
    return {f"{section}.{key}": value for section, keys in chosen.items() for key, value in keys.items()} | {
        "taxonomy": taxonomy.version,
        "topics": len(taxonomy.ids),
        "paragraphs": len(data.rows),
        "data_fingerprint": data_fingerprint(data.rows),
        "parent": parent.version if parent else None,
    }


def _track(tracker: Tracker, reports: Mapping[str, Report], bundle: Bundle, verdict: Verdict | None) -> None:
    for split, report in reports.items():
        kept = report.served.model_dump(exclude={"topics"})
        kept |= {f"f1/{topic}": each.f1 for topic, each in report.served.topics.items()}
        tracker.figures({f"{split}/{name}": float(value) for name, value in kept.items()})
    tracker.tags({"bundle": bundle.name, "version": bundle.version})
    if verdict:
        tracker.tags({"verdict": "passed" if verdict.passed else "refused"})
        tracker.file(verdict.model_dump(mode="json"), "verdict.json")
    tracker.end()


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


def _file(row: LabelledParagraph) -> str:
    return "/".join(row.line.file.parts[-2:])


def _document(
    out: Path,
    exported: Exported,
    reports: Mapping[str, Report],
    sources: Mapping[str, int],
    judged_on: Mapping[str, str],
    start: str,
    taxonomy: Taxonomy,
    engine: str,
) -> None:
    """Put the figures and the card into the bundle."""
    check, name = exported.checks[-1], exported.bundle.name
    figures: dict[str, Any] = {"gates": [asdict(each) for each in exported.checks]}
    figures |= {split: each.figures() for split, each in reports.items()}
    (out / "metrics.json").write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    cores = available_cores()
    machine = f"{cores} core{'s' * (cores > 1)}, {platform.machine()}, {platform.system()}"
    stages = stages_of(out)
    card = model_card(name, taxonomy, reports, check, f"{engine}, {machine}", sources, judged_on, start, stages)
    (out / "MODEL_CARD.md").write_text(card, "utf-8")
