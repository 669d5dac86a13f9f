"""Kills processes (SIGKILL) while they change a registry: after each kill it must load and serve, with nothing lost.

    python -m benchmarks.kills [--kills 100] [--bundle FOLDER] [--seed 7]

Each process adds a new version, promotes it, rolls back and promotes it again; the kill comes at a random moment of
that. Then a version that came in must be whole, all that was there before must be there still, and the bundle that
serves must classify; at the end every version must be whole. Needs the disk space of as many bundles as kills.
"""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from ctypes import c_int
from pathlib import Path
from typing import Any

from configs.settings import EMBEDDED, load_settings, override
from configs.tracking import switch_off_tracking
from policy_topics.bundle import MANIFEST, Provenance, load_bundle, write_manifest
from policy_topics.classifier import Classifier
from policy_topics.registry import Registry

PHASES = ("starting", "adding", "promoting", "rolling back", "promoting again", "done")

_processes = multiprocessing.get_context("fork")


def renamed(bundle: Path, folder: Path, name: str) -> Path:
    """The same bundle under another name, and so another version."""
    manifest = load_bundle(bundle).manifest
    shutil.copytree(bundle, folder)
    (folder / MANIFEST).unlink()
    provenance = Provenance(name, manifest.max_tokens, manifest.data_fingerprint, parent=manifest.version)
    write_manifest(folder, provenance, manifest.precision)
    return folder


def change(registry: Registry, bundle: Path, phase: Any) -> None:
    """All that can be done to a registry, with `phase` saying how far it is."""
    phase.value = 1
    version = registry.add(bundle)
    phase.value = 2
    registry.promote(version)
    phase.value = 3
    registry.rollback()
    phase.value = 4
    registry.promote(version)
    phase.value = 5


def check(registry: Registry, default: Path, known: set[str]) -> None:
    """Raise unless the bundle that serves classifies, and the versions that are not known yet are whole."""
    for entry in registry.versions():
        if entry.version not in known:
            load_bundle(entry.path)
    classifier = Classifier.load(
        registry.promoted() or default, override(load_settings(), {"engine.threads": 1}).engine
    )
    assert classifier.classify(["推进高标准农田建设。"])[0].windows == 1


def kill_at_random(kills: int, bundle: Path, folder: Path, seed: int) -> Counter[str]:
    """How many kills came in each phase.

    Raises:
        RuntimeError: the registry was not whole after one of them.
    """
    moments = random.Random(seed)
    registry = Registry(folder / "registry", default=bundle)
    hits: Counter[str] = Counter()
    seconds = 0.0
    while hits.total() < kills:
        candidate = renamed(bundle, folder / "candidate", f"candidate-{len(registry.versions())}")
        versions, history = _versions(registry), registry.history()
        phase = _processes.RawValue(c_int, 0)
        start = time.perf_counter()
        process = _processes.Process(target=change, args=(registry, candidate, phase))
        process.start()
        process.join(moments.uniform(0, seconds) if seconds else None)  # the first one is left alone
        process.kill()
        process.join()
        seconds = seconds or time.perf_counter() - start
        if process.exitcode == -signal.SIGKILL:  # it was not through before
            hits[PHASES[phase.value]] += 1
        elif process.exitcode:
            raise RuntimeError(f"failed by itself while {PHASES[phase.value]}")
        judge = _processes.Process(target=check, args=(registry, bundle, versions))
        judge.start()
        judge.join()
        if judge.exitcode or not versions <= _versions(registry) or registry.history()[: len(history)] != history:
            raise RuntimeError(f"killed while {PHASES[phase.value]}, the registry is not whole: {registry.folder}")
        shutil.rmtree(candidate)
    registry.promote(registry.add(bundle))  # each clears away what a kill left of its like
    check(registry, bundle, set())
    if left := {path.name for path in registry.folder.iterdir()} - {".lock", "models", "promotions.json"}:
        raise RuntimeError(f"what kills left half done was not cleared away: {left}")
    return hits


def _versions(registry: Registry) -> set[str]:
    return {entry.version for entry in registry.versions()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--bundle", type=Path, default=EMBEDDED)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    switch_off_tracking()
    importlib.import_module("bentoml.models")  # once, and not in each process: the kills are to hit the work
    with tempfile.TemporaryDirectory() as folder:
        hits = kill_at_random(arguments.kills, arguments.bundle.absolute(), Path(folder), arguments.seed)
    told = ", ".join(f"{hits[phase]} {phase}" for phase in PHASES)
    print(f"{arguments.kills} kills ({told}): the registry loaded and served after each")


if __name__ == "__main__":
    main()
