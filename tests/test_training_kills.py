"""Trainings that are killed at random moments: a few kills of the benchmark that makes a hundred."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from benchmarks import training_kills
from benchmarks.kills import renamed
from benchmarks.training_kills import PHASES
from configs.settings import HOME
from policy_topics.registry import Registry
from tests import tiny


@pytest.mark.timeout(900)  # half a minute of work, on a machine that may be busy
def test_trainings_that_are_killed_end_as_one_that_is_not_and_the_registry_serves_all_the_time() -> None:
    command = [sys.executable, "-m", "benchmarks.training_kills", "--kills", "3", "--seed", "3"]
    done = subprocess.run(command, cwd=HOME, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = re.search(r"^3 kills \((.*)\) of [1-9]\d* trainings: the registry loaded", done.stdout, re.MULTILINE)
    assert told, done.stdout
    counts = {phase: int(count) for count, phase in re.findall(r"(\d+) ([a-z ]+)", told[1])}
    assert tuple(counts) == PHASES
    assert sum(counts.values()) == 3


def outset(folder: Path, bundle: Path) -> training_kills.Outset:
    return training_kills.Outset(folder / "my.yaml", folder / "backbone", bundle)


def test_another_bundle_than_that_of_the_undisturbed_training_is_noticed(tmp_path: Path, tiny_bundle: Path) -> None:
    begun = outset(tmp_path, tiny_bundle)
    training_kills._begin(begun, tmp_path / "training")
    tiny.tiny_bundle(tmp_path / "training" / "model")
    first = training_kills.Undisturbed([], {}, "another")
    with pytest.raises(RuntimeError, match=r"another without kills; other: .*model\.safetensors"):
        training_kills._check_end(tmp_path / "training", begun, first, Counter())


def test_a_bundle_that_was_not_promoted_is_noticed(tmp_path: Path, tiny_bundle: Path) -> None:
    begun = outset(tmp_path, tiny_bundle)
    training_kills._begin(begun, tmp_path / "training")
    other = renamed(tiny_bundle, tmp_path / "training" / "model", "other")
    version = Registry(tmp_path / "training" / "registry").add(other)
    first = training_kills.Undisturbed([], {}, version)
    with pytest.raises(RuntimeError, match="promoted, are"):
        training_kills._check_end(tmp_path / "training", begun, first, Counter())
