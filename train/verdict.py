"""The verdict of the gate on a bundle: what it says, and where it is. Reading it needs nothing that training needs."""

from __future__ import annotations

import json
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
    """F1 of each topic that the paragraphs carry."""
    seconds: tuple[float, float]
    """What the same texts take the candidate and the incumbent."""
    behaviour_failed: tuple[str, ...]
    """Tests that the incumbent passes and the candidate does not."""
    new_topics: dict[str, TopicMetrics]
    """Topics that the candidate alone knows: judged on their own, no ground to refuse it."""
    lost_topics: tuple[str, ...]
    """Topics that the incumbent alone knows."""
    unmeasured_topics: tuple[str, ...]
    """Topics that no paragraph carries, so that nothing is known of them."""

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
    """Put it beside the bundle's folder, whole or not at all."""
    write_whole(verdict_file(bundle), verdict.model_dump_json(indent=1) + "\n")


def verdict_of(bundle: Path) -> Verdict | None:
    """The verdict on the bundle in a folder; none if it was not judged, or is not the bundle that was judged any more.

    Raises:
        TrainingError: the verdict cannot be read.
    """
    file = verdict_file(bundle)
    try:
        verdict = Verdict.model_validate_json(file.read_bytes())
        version = json.loads((bundle / MANIFEST).read_text("utf-8"))["version"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError) as fault:
        told = faults_of(fault) if isinstance(fault, ValidationError) else fault
        raise TrainingError(f"{file}: cannot be read: {told}; judge again: policy-topics gate {bundle}") from None
    return verdict if verdict.candidate == version else None
