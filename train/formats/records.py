"""What every reader of a format gives: records with flat columns, each with its place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from policy_topics.errors import DataError


class FormatError(DataError):
    """A file that cannot be read as a whole; the message says why and what to do, the file's name comes before it."""


class Unreadable(str):
    """Why a field has no value that can be taken, in the place of the value. It matters where the field is used."""


@dataclass(frozen=True, slots=True)
class Votes:
    """What each annotator gave, where the tool tells them apart: labels as `TopicNames.read` takes them."""

    given: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """One paragraph, as the file has it.

    Attributes:
        place: where it stands, for people: `a.csv:12` (line), `a.xlsx[Sheet1]:12` (row), `a.json#12` (12th record).
        fields: values by column.
        unanswered: stands for the labels where annotators left the question out.
        notes: what a person should know of it.
        fault: why it cannot be taken; None where nothing speaks against it yet.
    """

    place: str
    fields: dict[str, Any] = field(default_factory=dict)
    unanswered: Votes | None = None
    notes: tuple[str, ...] = ()
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """Records that share their columns.

    Attributes:
        place: the file, or its sheet.
        format: what it was taken for.
        encoding: None where the format has its own.
    """

    place: str
    format: str
    records: list[Record]
    encoding: str | None = None

    @property
    def columns(self) -> list[str]:
        """The columns of all records, in the order in which they come up."""
        return list(dict.fromkeys(column for record in self.records for column in record.fields))
