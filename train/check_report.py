"""The report of `data check`: all findings, as `report.json` for programs and `report.html` for people."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from policy_topics.durable import write_whole
from train.check import RARE, Checked
from train.check_plots import plots
from train.drift import Drift
from train.label_errors import FEWEST, FOLDS
from train.page import render

Role = Literal["new", "against", "frozen"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class FileCounts(_Frozen):
    """A file and what is in it."""

    file: str
    role: Role
    paragraphs: int
    documents: int
    without_topic: int


class TopicCounts(_Frozen):
    """Paragraphs that carry a topic, by the role of their file."""

    topic: str
    new: int
    against: int
    frozen: int

    @property
    def taught(self) -> int:
        """Paragraphs that training would see."""
        return self.new + self.against


class Place(_Frozen):
    """A paragraph, to be found and read."""

    place: str
    labels: tuple[str, ...]
    text: str


class Repeat(_Frozen):
    """Two like texts."""

    first: Place
    second: Place
    similarity: float
    conflict: bool
    """Their topics, or the primary ones, differ."""


class LeakedPlace(_Frozen):
    """A paragraph that the frozen files hold too."""

    row: Place
    frozen: Place
    reason: Literal["text", "document"]


class Doubt(_Frozen):
    """A paragraph with doubtful labels, each with its out-of-fold probability."""

    row: Place
    carried: dict[str, float]
    missing: dict[str, float]
    belief: float


class CheckReport(_Frozen):
    """Everything that `data check` finds."""

    taxonomy: int
    similarity: float
    floor: int = RARE
    files: tuple[FileCounts, ...]
    topics: tuple[TopicCounts, ...]
    faults: tuple[str, ...]
    warnings: tuple[str, ...]
    repeats: tuple[Repeat, ...]
    leaks: tuple[LeakedPlace, ...]
    shared_documents: dict[str, tuple[str, ...]]
    """Documents that stand in more than one file."""
    doubts: tuple[Doubt, ...]
    drift: Drift | None

    def counted(self, kind: str) -> int:
        """Repeats that are `exact`, `near` or in `conflict`."""
        tests = {
            "exact": lambda r: r.similarity == 1,
            "near": lambda r: r.similarity < 1,
            "conflict": lambda r: r.conflict,
        }
        return sum(map(tests[kind], self.repeats))


def check_report(report: Checked, similarity: float) -> CheckReport:
    """Findings with texts and places. Looks for doubtful labels, which takes its time: see `Checked.suspects`."""
    conflicts = set(report.conflicts)
    return CheckReport(
        taxonomy=report.taxonomy.version,
        similarity=similarity,
        files=tuple(_files(report)),
        topics=tuple(_topics(report)),
        faults=tuple(map(str, report.faults)),
        warnings=tuple(map(str, report.warnings)),
        repeats=tuple(
            Repeat(
                first=_place(report, pair.first),
                second=_place(report, pair.second),
                similarity=round(pair.similarity, 4),
                conflict=pair in conflicts,
            )
            for pair in report.repeats
        ),
        leaks=tuple(
            LeakedPlace(row=_place(report, leak.row), frozen=_place(report, leak.frozen), reason=leak.reason)
            for leak in report.leaks
        ),
        shared_documents={name: tuple(map(str, files)) for name, files in report.shared_documents.items()},
        doubts=tuple(
            Doubt(
                row=_place(report, each.row), carried=each.carried, missing=each.missing, belief=round(each.belief, 4)
            )
            for each in report.suspects
        ),
        drift=report.drift,
    )


def write_check_report(report: Checked, similarity: float, folder: Path) -> CheckReport:
    """Write `report.json` and `report.html`, which needs no other file."""
    found = check_report(report, similarity)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "report.json", json.dumps(found.model_dump(), ensure_ascii=False, indent=1) + "\n")
    names = {topic.id: topic for topic in report.taxonomy.topics}
    html = render("check.html.j2", report=found, topics=names, plots=plots(found), folds=FOLDS, fewest=FEWEST)
    write_whole(folder / "report.html", html)
    return found


def _role(report: Checked, file: Path) -> Role:
    return "frozen" if file in report.frozen else "against" if file in report.against else "new"


def _files(report: Checked) -> Iterable[FileCounts]:
    for file, rows in report.rows_of.items():
        yield FileCounts(
            file=str(file),
            role=_role(report, file),
            paragraphs=len(rows),
            documents=len({row.document for row in rows} - {None}),
            without_topic=sum(not row.labels for row in rows),
        )


def _topics(report: Checked) -> Iterable[TopicCounts]:
    roles = [_role(report, file) for file in report.files]
    for topic, counts in report.topics.items():
        of_role = {role: sum(n for each, n in zip(roles, counts, strict=True) if each == role) for role in set(roles)}
        yield TopicCounts(
            topic=topic,
            new=of_role.get("new", 0),
            against=of_role.get("against", 0),
            frozen=of_role.get("frozen", 0),
        )


def _place(report: Checked, index: int) -> Place:
    row = report.rows[index]
    return Place(place=str(row.line), labels=row.labels, text=row.text)
