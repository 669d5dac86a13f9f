"""The verdict of the gate on a bundle: what it says, and where it is. Reading it needs nothing that training needs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from configs.taxonomy import faults_of
from policy_topics.bundle import MANIFEST
from policy_topics.durable import write_whole
from policy_topics.errors import TrainingError
from train.bootstrap import Interval
from train.metrics import TopicMetrics

FORMAT: Final = 1


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Rule(_Frozen):
    """One demand, what was found, and whether it is met. Words are Chinese and English."""

    name: str
    passed: bool
    demand: str
    incumbent: str
    candidate: str
    found: str
    """The difference."""


class Verdict(_Frozen):
    """Whether the candidate may take the incumbent's place."""

    format: Literal[1] = FORMAT
    passed: bool
    candidate: str
    """Version; so is `incumbent`."""
    candidate_name: str
    incumbent: str
    incumbent_name: str
    paragraphs: int
    documents: int
    rules: tuple[Rule, ...]
    macro_f1: Interval
    """Candidate less incumbent, over the topics that both know; so are the other differences."""
    ece: Interval
    topics: dict[str, Interval]
    """F1 of each topic that is measured."""
    seconds: tuple[float, float]
    """What the same texts take the candidate and the incumbent."""
    behaviour_failed: tuple[str, ...]
    """Tests that the incumbent passes and the candidate does not."""
    behaviour_skipped: tuple[str, ...] = ()
    """Tests of a topic that only one of the two knows, so that they were not tried."""
    new_topics: dict[str, TopicMetrics]
    """Topics that the candidate alone knows: judged on their own, no ground to refuse it."""
    lost_topics: tuple[str, ...]
    """Topics that the incumbent alone knows."""
    unmeasured_topics: tuple[str, ...]
    """Topics that too few documents carry to tell whether they are worse: no ground to refuse it."""

    @property
    def names(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """Name and version of the incumbent, and of the candidate."""
        return (self.incumbent_name, self.incumbent), (self.candidate_name, self.candidate)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is refused; none if it is not."""
        return tuple(f"{rule.name}: {rule.found}" for rule in self.rules if not rule.passed)


def verdict_file(bundle: Path) -> Path:
    """Where the verdict on a bundle is: beside its folder."""
    folder = bundle.absolute()
    return folder.with_name(f"{folder.name}.verdict.json")


def write_verdict(verdict: Verdict, bundle: Path) -> None:
    """Put it beside the bundle's folder, whole or not at all.

    Raises:
        TrainingError: it cannot be written.
    """
    file = verdict_file(bundle)
    try:
        write_whole(file, verdict.model_dump_json(indent=1) + "\n")
    except OSError as fault:
        raise TrainingError(
            f"{file}: cannot be written: {fault.strerror or fault}; make room on the disk, or let this user write there"
        ) from fault


def verdict_of(bundle: Path) -> Verdict | None:
    """The verdict on the bundle in a folder; none if it was not judged, or is not the bundle that was judged any more.

    Raises:
        TrainingError: the verdict cannot be read.
    """
    try:
        version = json.loads((bundle / MANIFEST).read_text("utf-8"))["version"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError) as fault:
        raise TrainingError(f"{bundle / MANIFEST}: cannot be read: {fault!r}; fetch the bundle again") from None
    return _read(bundle, version)


def verdict_that_counts(version: str, folders: Iterable[Path], serving: str | None) -> Verdict | None:
    """Of the verdicts on a version, which may lie beside several folders of it: a refusal before all others, then one
    that compares it with the version that serves.

    Raises:
        TrainingError: one of them cannot be read.
    """
    verdicts = [verdict for folder in folders if (verdict := _read(folder, version))]
    return min(verdicts, key=lambda verdict: (verdict.passed, verdict.incumbent != serving), default=None)


def _read(bundle: Path, version: str) -> Verdict | None:
    """The verdict beside a folder, if it is on this version."""
    file = verdict_file(bundle)
    try:
        verdict = Verdict.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as fault:
        told = faults_of(fault) if isinstance(fault, ValidationError) else fault
        raise TrainingError(f"{file}: cannot be read: {told}; judge again: policy-topics gate {bundle}") from None
    return verdict if verdict.candidate == version else None
