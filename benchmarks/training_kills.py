"""Kills processes (SIGKILL) while they train, register and promote a bundle, and goes on with the same commands.

    python -m benchmarks.training_kills [--kills 100] [--backbone FOLDER] [--seed 7]

What is killed is `policy-topics train` and `policy-topics models promote`, on little made-up data; a training is killed
again and again until it is through. The first one is left alone: it says how long each phase takes, and what the bundle
must come to. After each kill the registry must load and serve, and a bundle that stands must be whole; in the end the
bundle must be the undisturbed one, and serve, and nothing else be left. Half of the kills come at random moments of the
whole length; the others at random moments of a phase drawn by lot, for some phases are short.

The processes are forked from one that has imported the libraries, which takes longer than the work that the kills are
to hit. Without a backbone a tiny one is taken, with random weights.
"""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from benchmarks.kills import check
from cli.main import app
from configs.tracking import switch_off_tracking
from policy_topics import registry as registries
from policy_topics.bundle import Provenance, load_bundle, write_manifest
from policy_topics.registry import Registry
from tests import tiny
from tests.little_training import rows_of, write
from train import gate, pipeline

PHASES = ("preparing", "training", "exporting", "judging", "registering", "putting in place", "promoting")

_BEGINNINGS: tuple[tuple[Any, str], ...] = (
    (pipeline, "_finetune"),
    (pipeline, "_build"),
    (pipeline, "_judge"),
    (registries.Registry, "add"),
    (pipeline, "_track"),
    (registries.Registry, "promote"),
)
"""What is called where each phase but the first begins."""
_LIBRARIES = (
    *("bentoml.models", "datasketch", "onnx", "openvino", "sklearn.feature_extraction.text", "sklearn.svm"),
    "transformers.models.modernbert.modeling_modernbert",
)

_processes = multiprocessing.get_context("fork")


@dataclass(frozen=True, slots=True)
class Outset:
    """What every training starts from."""

    settings: Path
    backbone: Path
    served: Path
    """The bundle that serves before."""


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """How a training goes that nothing kills."""

    seconds: list[float]
    """What each phase takes."""
    files: dict[str, str]
    """sha256 of the bundle's files, by name."""
    version: str


def train_and_promote(outset: Outset, folder: Path, entered: Any) -> None:
    """What a user would do, and after a kill do again. `entered` is told when each phase begins, (phases,) seconds."""
    entered[0] = time.monotonic()
    _watch(entered)
    gate.SLOWNESS = float("inf")  # kills are what is tried here, not how busy the machine is
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    tempfile.tempdir = str(folder / "temporary")
    os.makedirs(tempfile.tempdir, exist_ok=True)
    out = folder / "model"
    common = ["--config", str(outset.settings), "--set", f"registry={folder / 'registry'}"]
    if not out.exists():
        _run([*common, "train", "--backbone", str(outset.backbone), "--out", str(out)])
    _run([*common, "models", "promote", load_bundle(out).version])


def prepare(folder: Path, backbone: Path | None) -> Outset:
    """Data, settings, a bundle that serves, and a backbone where none is given."""
    for name, split, each in (("train", "练", 40), ("dev", "校", 12), ("test", "测", 12)):
        write(folder / f"{name}.jsonl", rows_of(split, each))
    files = {"files": "train", "dev_files": "dev", "test_files": "test"}
    finetune: dict[str, Any] = {"epochs": 3, "patience": 3, "batch_paragraphs": 8, "max_tokens": tiny.MAX_TOKENS}
    content = {
        "data": {key: [str(folder / f"{name}.jsonl")] for key, name in files.items()}
        | {"behaviour_files": [], "duplicate_similarity": 1.0},
        "finetune": finetune | ({} if backbone else {"learning_rate": 3e-3, "dropout": 0.0}),
        "export": {"precision": "bf16", "max_f1_loss": 1.0},  # quantising takes longer than all else together
        "engine": {"threads": 1},
    }
    outset = Outset(folder / "my.yaml", backbone or folder / "backbone", folder / "served")
    outset.settings.write_text(yaml.safe_dump(content), "utf-8")
    making = _processes.Process(target=_make, args=(outset, backbone is None))
    making.start()
    making.join()
    if making.exitcode:
        raise RuntimeError("the bundle that serves could not be made")
    return outset


def undisturbed(outset: Outset, folder: Path) -> Undisturbed:
    """Train once and promote."""
    _begin(outset, folder)
    entered = _processes.RawArray("d", len(PHASES))
    process = _processes.Process(target=train_and_promote, args=(outset, folder, entered))
    process.start()
    process.join()
    end = time.monotonic()
    if process.exitcode:
        raise RuntimeError(f"failed with no kill at all:\n{(folder / 'log').read_text('utf-8')}")
    moments = [*entered, end]
    bundle = load_bundle(folder / "model")
    seconds = [after - before for before, after in pairwise(moments)]
    return Undisturbed(seconds, bundle.manifest.files, bundle.version)


def kill_at_random(kills: int, outset: Outset, first: Undisturbed, folder: Path, seed: int) -> Iterator[Counter[str]]:
    """How many kills came in each phase, for each training, as soon as it is through.

    Raises:
        RuntimeError: the registry was not whole after one of them, or a training did not come to the same bundle.
    """
    moments = random.Random(seed)
    while kills > 0:
        own = folder / "training"
        _begin(outset, own)
        hits: Counter[str] = Counter()
        while (phase := _go_on(outset, first, own, moments, disturb=hits.total() < kills)) is not None:
            hits[phase] += 1
            _check_registry(own, outset, phase)
        _check_end(own, outset, first, hits)
        shutil.rmtree(own)
        kills -= hits.total()
        yield hits


def _go_on(outset: Outset, first: Undisturbed, folder: Path, moments: random.Random, disturb: bool) -> str | None:
    """Go on with a training till it is killed, and say in which phase it was, or to its end."""
    entered = _processes.RawArray("d", len(PHASES))
    process = _processes.Process(target=train_and_promote, args=(outset, folder, entered))
    weights = moments.choice((first.seconds, [1.0] * len(PHASES)))
    (target,) = moments.choices(range(len(PHASES)), weights)
    delay = moments.uniform(0, first.seconds[target])
    process.start()
    if disturb:
        while process.is_alive() and not any(entered[target:]):
            time.sleep(0.001)
        process.join(delay)
        process.kill()
    process.join()
    if process.exitcode == -signal.SIGKILL:
        return PHASES[max((i for i, moment in enumerate(entered) if moment), default=0)]
    if process.exitcode:
        raise RuntimeError(f"failed by itself:\n{(folder / 'log').read_text('utf-8')}")
    return None


def _check_registry(folder: Path, outset: Outset, phase: str) -> None:
    """What serves must serve, and what stands must be whole."""
    checking = _processes.Process(target=check, args=(Registry(folder / "registry"), outset.served, set()))
    checking.start()
    checking.join()
    if checking.exitcode:
        raise RuntimeError(f"killed while {phase}, the registry is not whole: {folder / 'registry'}")
    if (folder / "model").exists():
        load_bundle(folder / "model")


def _check_end(folder: Path, outset: Outset, first: Undisturbed, hits: Counter[str]) -> None:
    """The bundle must be the one that comes of a training left alone, and serve; nothing else may be left."""
    bundle, served = load_bundle(folder / "model"), load_bundle(outset.served).version
    if bundle.version != first.version:
        other = {name for name, digest in bundle.manifest.files.items() if first.files.get(name) != digest}
        raise RuntimeError(f"{bundle.version} came of it, {first.version} without kills; other: {', '.join(other)}")
    registry = Registry(folder / "registry")
    standing = {entry.version: entry.promoted for entry in registry.versions()}
    if standing != {served: False, bundle.version: True}:
        raise RuntimeError(f"in the registry, and promoted, are {standing}")
    expected = {"log", "temporary", "registry", "model", "model.verdict.json"}
    expected |= {".lock", "models", "promotions.json"}
    if hits["putting in place"]:  # the bundle may have taken its place, and what it was made from not gone yet
        expected.add(".model-work")
    if left := {path.name for path in (*folder.iterdir(), *registry.folder.iterdir())} - expected:
        raise RuntimeError(f"what kills left half done was not cleared away: {left}")


def _begin(outset: Outset, folder: Path) -> None:
    """A registry whose promoted version is the bundle that serves."""
    folder.mkdir()
    registry = Registry(folder / "registry")
    registry.promote(registry.add(outset.served))


def _make(outset: Outset, tiny_backbone: bool) -> None:
    tiny.tiny_bundle(outset.served)
    write_manifest(outset.served, Provenance("served", tiny.MAX_TOKENS, "none", parent=None), "bf16")
    if tiny_backbone:
        tiny.tiny_backbone(outset.backbone)


def _run(command: Sequence[str]) -> None:
    if code := app(list(command), standalone_mode=False):
        sys.exit(code)


def _watch(entered: Any) -> None:
    """Have `entered` told of what this process enters."""
    for number, (owner, name) in enumerate(_BEGINNINGS, start=1):
        setattr(owner, name, _telling(getattr(owner, name), number, entered))


def _telling(original: Any, number: int, entered: Any) -> Any:
    def telling(*positional: Any, **named: Any) -> Any:
        entered[number] = time.monotonic()
        return original(*positional, **named)

    return telling


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--backbone", type=Path)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    switch_off_tracking()
    for library in _LIBRARIES:
        importlib.import_module(library)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        outset = prepare(folder, arguments.backbone and arguments.backbone.absolute())
        first = undisturbed(outset, folder / "undisturbed")
        told = ", ".join(f"{phase} {seconds:.2f} s" for phase, seconds in zip(PHASES, first.seconds, strict=True))
        print(f"undisturbed: {first.version}; {told}", flush=True)
        hits: Counter[str] = Counter()
        for training, own in enumerate(kill_at_random(arguments.kills, outset, first, folder, arguments.seed), start=1):
            hits += own
            print(f"training {training}: killed {own.total()} times, the same bundle in the end", flush=True)
    told = ", ".join(f"{hits[phase]} {phase}" for phase in PHASES)
    print(f"{hits.total()} kills ({told}) of {training} trainings: the registry loaded and served after each")


if __name__ == "__main__":
    main()
