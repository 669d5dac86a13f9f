"""The account of an import: what became of every record."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Source(_Frozen):
    """A file, or a sheet of it: what it was read as, and what became of its records."""

    place: str
    format: str
    encoding: str | None
    columns: dict[str, str]
    """Its column for each field of a paragraph that it has."""
    columns_left_out: tuple[str, ...]
    records: int = 0
    taken: int = 0
    merged: int = 0
    refused: int = 0


class Taken(_Frozen):
    """A record that is in the result."""

    place: str
    line: int
    """Its line in the result, from 1."""
    notes: tuple[str, ...]


class Merged(_Frozen):
    """A record with the text of another one, which stands for it."""

    place: str
    into: str
    notes: tuple[str, ...]


class Refused(_Frozen):
    """A record, a sheet or a file that is not in the result, and why."""

    place: str
    reasons: tuple[str, ...]


class Spelling(_Frozen):
    """A name that is no id, and the topic that it was read as."""

    written: str
    topic: str
    times: int


class ImportReport(_Frozen):
    """What became of every record."""

    sources: tuple[Source, ...]
    taken: tuple[Taken, ...]
    merged: tuple[Merged, ...]
    refused: tuple[Refused, ...]
    spellings: tuple[Spelling, ...]
    notes: tuple[str, ...]
    """What concerns a whole file or sheet."""
