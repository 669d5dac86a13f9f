"""Records on their way into training data, and what becomes of those that have the same text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Candidate:
    """A record on its way.

    Attributes:
        place: where it stands, for people.
        table: place of the table that it is of.
        row: the paragraph, in the form that training reads.
        clean: its clean text, where it has one.
        who: who labelled it, where that is known and counts.
        notes: what a person should know of it.
        faults: why it is refused, if it is.
        into: place of the record that stands for it, if one does.
    """

    place: str
    table: str
    row: dict[str, Any] = field(default_factory=dict)
    clean: str = ""
    who: str | None = None
    notes: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    into: str | None = None

    @property
    def topics(self) -> str:
        """Its labels, for people."""
        return f"[{', '.join(self.row['labels'])}]"


def agree_or_refuse(candidates: Sequence[Candidate]) -> None:
    """Merge records of one text where they carry the same topics, and refuse all of them where they do not."""
    for first, *others in _of_one_text(candidates):
        if all(_topics(other) == _topics(first) for other in others):
            for other in others:
                _merge(other, first)
            continue
        for each in (first, *others):
            rest = "; ".join(f"{other.topics} at {other.place}" for other in (first, *others) if other is not each)
            each.faults.append(
                f"the same text carries other topics elsewhere: {each.topics} here, {rest}; keep the right one"
            )


def latest_then_majority(candidates: Sequence[Candidate]) -> None:
    """Of one text, each person's latest record counts, and of those the topics that most people gave.

    Where the latest has a fault, that person has no say: what came before was taken back. Where as many people gave
    others, all records of the text are refused. Records without a name count as one person's: where nobody has a name,
    the last word stands. The order of the topics is the one that most of those gave who agree on them, and of several
    such the latest.

    Args:
        candidates: in the order of time.
    """
    _refuse_taken_back(candidates)
    for same in _of_one_text(candidates):
        latest = {each.who: each for each in same}
        standing = [each for each in same if latest[each.who] is each]
        votes = Counter(map(_topics, standing))
        (topics, most), *others = votes.most_common()
        if any(count == most for _, count in others):
            _refuse_tie(same, latest, standing)
            continue
        agreeing = [each for each in standing if _topics(each) == topics]
        orders = Counter(tuple(each.row["labels"]) for each in agreeing)
        kept = max(enumerate(agreeing), key=lambda numbered: (orders[tuple(numbered[1].row["labels"])], numbered[0]))[1]
        if len(standing) > 1:
            kept.notes.append(f"{most} of {len(standing)} people say so")
        for each in same:
            if each is kept:
                continue
            if latest[each.who] is not each:
                each.notes.append(f"the same person said otherwise later: {each.topics} before")
            elif _topics(each) != topics:
                each.notes.append(f"outvoted: {each.topics}, and {most} of {len(standing)} people say {kept.topics}")
            _merge(each, kept)


def _refuse_taken_back(candidates: Sequence[Candidate]) -> None:
    latest = {(each.clean, each.who): each for each in candidates}
    for each in candidates:
        last = latest[each.clean, each.who]
        if last.faults and not each.faults:
            each.faults.append(
                f"the same person said otherwise later, at {last.place}, which is refused; correct the text once more"
            )


def _refuse_tie(same: Sequence[Candidate], latest: dict[str | None, Candidate], standing: Sequence[Candidate]) -> None:
    for each in same:
        if latest[each.who] is not each:
            each.faults.append(f"the same person said otherwise later, at {latest[each.who].place}, which is refused")
            continue
        rest = "; ".join(f"{other.topics} at {other.place}" for other in standing if other is not each)
        each.faults.append(
            f"as many people say one as say another: {each.topics} here, {rest}; let one more person correct the text"
        )


def _merge(each: Candidate, into: Candidate) -> None:
    each.into = into.place
    if _topics(each) == _topics(into) and each.row["labels"] != into.row["labels"]:
        each.notes.append(f"names its topics in another order: {each.topics}")


def _topics(candidate: Candidate) -> frozenset[str]:
    return frozenset(candidate.row["labels"])


def _of_one_text(candidates: Sequence[Candidate]) -> Iterator[list[Candidate]]:
    """The records without a fault, by their clean text."""
    same: dict[str, list[Candidate]] = {}
    for each in candidates:
        if not each.faults:
            same.setdefault(each.clean, []).append(each)
    yield from same.values()
