"""Behaviour tests: texts of which it is known what kind of answer they must have, whatever the figures on a test set.

One object a line, of three kinds:

    {"kind": "typical", "text", "topics"}       the text is given these topics, if others too
    {"kind": "invariance", "text", "like"}      both are given the same topics: only places, names, numbers differ
    {"kind": "direction", "text", "add", "topic"}   with this clause added, the topic is more probable than without

Typical texts are tried with dirt too, which must not change what they are given. Source: M. T. Ribeiro et al., "Beyond
Accuracy: Behavioral Testing of NLP Models with CheckList", ACL 2020, section 2.2.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from configs.taxonomy import faults_of
from policy_topics.classifier import Classifier, Prediction
from policy_topics.errors import DataError
from train.dirt import KINDS, soil

DIRT = ("Traditional", "Traditional + pinyin", "half-width", "inner spaces")
_SEED = 5

Kind = Literal["typical", "dirt", "invariance", "direction"]
Text = Annotated[str, Field(min_length=1)]


class _Case(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Typical(_Case):
    kind: Literal["typical"]
    text: Text
    topics: Annotated[tuple[str, ...], Field(min_length=1)]


class Invariance(_Case):
    kind: Literal["invariance"]
    text: Text
    like: Text


class Direction(_Case):
    kind: Literal["direction"]
    text: Text
    add: Text
    topic: str


Case = Typical | Invariance | Direction
_CASE: TypeAdapter[Case] = TypeAdapter(Annotated[Case, Field(discriminator="kind")])


@dataclass(frozen=True, slots=True)
class Trial:
    """One thing that is tried: `texts` are classified, and their answers hold or do not hold.

    Attributes:
        name: of the case and, with dirt, of its kind.
        topics: that the first text must be given, or the one that must become more probable.
    """

    kind: Kind
    name: str
    texts: tuple[str, ...]
    topics: tuple[str, ...] = ()


def read_trials(files: Iterable[Path], topics: Collection[str]) -> list[Trial]:
    """The trials of the cases in some files, in their order.

    Args:
        topics: all that a case may name.

    Raises:
        DataError: a file cannot be read, a line is no case, or it names another topic; the message names file and line.
    """
    trials: list[Trial] = []
    for file in files:
        try:
            lines = file.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as fault:
            raise DataError(
                f"{file}: cannot be read: {fault}; mend it, or leave it out of data.behaviour_files"
            ) from None
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                case = _trials(_CASE.validate_json(line), f"{file.name}:{number}")
            except ValidationError as fault:
                raise DataError(f"{file}:{number}: is no behaviour test: {faults_of(fault)}") from None
            if unknown := [topic for topic in case[0].topics if topic not in topics]:
                raise DataError(
                    f"{file}:{number}: {', '.join(unknown)}: a topic that no bundle here knows; mend the line or "
                    "remove it, or leave the file out of data.behaviour_files"
                )
            trials.extend(case)
    return trials


def run(classifier: Classifier, trials: Sequence[Trial], topics: Iterable[str]) -> list[bool]:
    """Whether each trial holds. Only these topics count; all that the trials name must be among them."""
    texts = list(dict.fromkeys(text for trial in trials for text in trial.texts))
    answers = dict(zip(texts, classifier.classify(texts), strict=True))
    columns = {topic: classifier.bundle.taxonomy.ids.index(topic) for topic in topics}
    return [_holds(trial, [answers[text] for text in trial.texts], columns) for trial in trials]


def _holds(trial: Trial, answers: Sequence[Prediction], columns: dict[str, int]) -> bool:
    given = [{topic.id for topic in answer.topics} & columns.keys() for answer in answers]
    if trial.kind == "typical":
        return set(trial.topics) <= given[0]
    if trial.kind == "direction":
        before, after = (answer.probabilities[columns[trial.topics[0]]] for answer in answers)
        return bool(after > before)
    return given[0] == given[1]


def _trials(case: Case, name: str) -> list[Trial]:
    match case:
        case Typical():
            dirty = [
                Trial("dirt", f"{name} ({dirt})", (case.text, soil(case.text, KINDS[dirt], _SEED)), case.topics)
                for dirt in DIRT
            ]
            return [Trial("typical", name, (case.text,), case.topics), *dirty]
        case Invariance():
            return [Trial("invariance", name, (case.text, case.like))]
        case Direction():
            return [Trial("direction", name, (case.text, case.text + case.add), (case.topic,))]
