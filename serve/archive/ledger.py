"""The ledger of an output folder: which inputs are done, and which rows of which input each part holds.

SQLite on disk: a change is whole or not at all, whatever kills the process, and nothing is kept in memory. A part
counts from the moment that it stands here; one that does not is the remainder of a run that was cut off.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serve.archive.faults import Fault, OutputError
from serve.archive.reading import Finished
from serve.archive.tally import Tally

FILE = "ledger.sqlite"

_TABLES = """
CREATE TABLE IF NOT EXISTS model (name TEXT, version TEXT, taxonomy INTEGER);
CREATE TABLE IF NOT EXISTS longest (document_characters INTEGER);
CREATE TABLE IF NOT EXISTS inputs (
    name TEXT PRIMARY KEY, sha256 TEXT, rows INTEGER, done INTEGER, dropped INTEGER, replaced INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS parts (number INTEGER PRIMARY KEY AUTOINCREMENT, rows INTEGER);
CREATE TABLE IF NOT EXISTS spans (
    part INTEGER, first INTEGER, rows INTEGER, input TEXT, tally TEXT, PRIMARY KEY (part, first)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS spans_of ON spans (input);
CREATE TABLE IF NOT EXISTS quarantine (input TEXT, code TEXT, reason TEXT, PRIMARY KEY (input, code)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seconds (run INTEGER PRIMARY KEY AUTOINCREMENT, seconds REAL, rows INTEGER);
CREATE TEMP TABLE met (name TEXT PRIMARY KEY, sha256 TEXT, inputs INTEGER DEFAULT 1) WITHOUT ROWID;
"""

_LASTING = ("bad_rows", "partly_read")
"""Codes of faults with which an input counts as done: they tell of rows that are in the parts, and stay with them."""


@dataclass(frozen=True, slots=True)
class Model:
    """What an output was scored with; an output has one."""

    name: str
    version: str
    taxonomy: int


@dataclass(frozen=True, slots=True)
class Span:
    """Rows of one input in a part: its rows from number `first` of the part on."""

    first: int
    rows: int
    input: str
    sha256: str
    tally: Tally


@dataclass(frozen=True, slots=True)
class Known:
    """What the ledger says of an input: its content, how many rows of it are in the parts, whether that is all."""

    sha256: str
    rows: int
    done: bool


class Ledger:
    """Not safe from several threads at once; `Output` sees to that. Every method may raise `OutputError`, as below.

    Raises:
        OutputError: the folder holds rows of another model, or the ledger cannot be read or written.
    """

    def __init__(self, folder: Path, model: Model, document_characters: int) -> None:
        self._file = folder / FILE
        with _explained():
            self._base = sqlite3.connect(self._file, isolation_level=None, check_same_thread=False, factory=_Base)
            self._base.executescript("PRAGMA synchronous = FULL; PRAGMA temp_store = FILE;" + _TABLES)
        row = self._base.execute("SELECT name, version, taxonomy FROM model").fetchone()
        if row is None:
            self._base.execute("INSERT INTO model VALUES (?, ?, ?)", (model.name, model.version, model.taxonomy))
        elif Model(*row) != model:
            self.close()
            raise OutputError(
                f"{folder}: holds rows of model {row[0]} {row[1]} (taxonomy {row[2]}), and this is {model.name} "
                f"{model.version} (taxonomy {model.taxonomy}); name another folder, or set `bundle` to the first. "
                "输出目录中已有另一模型的结果，请换一个目录。"
            )
        self._read_at(document_characters)

    def close(self) -> None:
        self._base.close()

    def _read_at(self, document_characters: int) -> None:
        """Note the longest text that is read. Where it was another, what that may have refused is read from scratch.

        An input with bad rows is, for the report tells why of the first of them only; so is one that is half done, of
        which other rows would be counted off.
        """
        before = self._base.execute("SELECT document_characters FROM longest").fetchone()
        if before == (document_characters,):
            return
        with self.transaction():
            self._base.execute(
                "UPDATE inputs SET sha256 = '', done = 0 "
                "WHERE NOT done OR name IN (SELECT input FROM quarantine WHERE code = 'bad_rows')"
            )
            self._base.execute("DELETE FROM longest")
            self._base.execute("INSERT INTO longest VALUES (?)", (document_characters,))

    # What this run has met

    def meet(self, name: str, sha256: str) -> str | None:
        """Note that this run has come to an input; the content with which it has met it before, if it has."""
        before = self._base.execute("SELECT sha256 FROM met WHERE name = ? AND sha256 <> ''", (name,)).fetchone()
        if before is None:
            self._base.execute("INSERT OR REPLACE INTO met (name, sha256) VALUES (?, ?)", (name, sha256))
        return before and str(before[0])

    def count_double(self, name: str) -> int:
        """Note that this run has come to a further input of a name; how many of that name it has met with it."""
        self._base.execute("UPDATE met SET inputs = inputs + 1 WHERE name = ?", (name,))
        return int(self._base.execute("SELECT inputs FROM met WHERE name = ?", (name,)).fetchone()[0])

    # What is done

    def known(self, name: str) -> Known | None:
        row = self._base.execute("SELECT sha256, rows, done FROM inputs WHERE name = ?", (name,)).fetchone()
        return Known(row[0], row[1], bool(row[2])) if row else None

    def known_within(self, name: str) -> dict[str, Known]:
        """What is known of an input, and of all files in it if it is an archive."""
        query = "SELECT name, sha256, rows, done FROM inputs WHERE name = ? OR (name > ? AND name < ?)"
        rows = self._base.execute(query, (name, f"{name}/", f"{name}0"))  # 0 comes right behind / in ASCII
        return {row[0]: Known(row[1], row[2], bool(row[3])) for row in rows}

    def parts(self) -> Iterator[int]:
        return (row[0] for row in self._base.execute("SELECT number FROM parts ORDER BY number"))

    def next_part(self) -> int:
        """A number that no part has had."""
        row = self._base.execute("SELECT seq FROM sqlite_sequence WHERE name = 'parts'").fetchone()
        return int(row[0]) + 1 if row else 1

    def spans(self, part: int) -> list[tuple[int, int, str]]:
        """(first row, rows, input) of each span of a part, in order."""
        query = "SELECT first, rows, input FROM spans WHERE part = ? ORDER BY first"
        return list(self._base.execute(query, (part,)))

    def parts_with(self, name: str) -> list[int]:
        return [row[0] for row in self._base.execute("SELECT DISTINCT part FROM spans WHERE input = ?", (name,))]

    # Changes

    def transaction(self) -> AbstractContextManager[object]:
        """All changes within it, or none."""
        return _Transaction(self._base)

    def add_part(self, number: int, spans: Sequence[Span]) -> None:
        self._base.execute("INSERT INTO parts VALUES (?, ?)", (number, sum(span.rows for span in spans)))
        for span in spans:
            values = (number, span.first, span.rows, span.input, span.tally.to_json())
            self._base.execute("INSERT INTO spans VALUES (?, ?, ?, ?, ?)", values)
            self._base.execute(
                "INSERT INTO inputs VALUES (?, ?, ?, 0, 0, 0) "
                "ON CONFLICT (name) DO UPDATE SET sha256 = excluded.sha256, rows = rows + excluded.rows",
                (span.input, span.sha256, span.rows),
            )

    def finish(self, finished: Finished) -> None:
        """Note how reading an input ended. One that is broken is tried again by the next run: it may be mended."""
        self._base.execute("INSERT OR IGNORE INTO met (name, sha256) VALUES (?, '')", (finished.name,))
        if finished.sha256 is None:  # what was read of it before, if anything, stays as it is
            self.drop_passing_faults(finished.name)
        else:
            self._base.execute("DELETE FROM quarantine WHERE input = ?", (finished.name,))
        for fault in finished.faults:
            self._quarantine(finished.name, fault)
        if finished.sha256 is None:
            return
        done = all(fault.code in _LASTING for fault in finished.faults)
        self._base.execute(
            "INSERT INTO inputs VALUES (?, ?, 0, ?, ?, ?) ON CONFLICT (name) DO UPDATE "
            "SET sha256 = excluded.sha256, done = excluded.done, dropped = excluded.dropped, "
            "replaced = excluded.replaced",
            (finished.name, finished.sha256, done, finished.dropped, finished.replaced),
        )

    def drop_passing_faults(self, name: str) -> None:
        """Drop from the quarantine what has kept an input from being read, which may have passed."""
        self._base.execute(f"DELETE FROM quarantine WHERE input = ? AND code NOT IN {_LASTING}", (name,))

    def _quarantine(self, name: str, fault: Fault) -> None:
        self._base.execute("INSERT OR REPLACE INTO quarantine VALUES (?, ?, ?)", (name, fault.code, fault.reason))

    def replace_part(self, old: int, new: int | None, kept: Sequence[tuple[int, int]]) -> None:
        """A part has been written anew as `new` with only some spans: (first row in the old, first row in the new)."""
        if new is not None:
            self._base.execute("INSERT INTO parts VALUES (?, 0)", (new,))
            for before, after in kept:
                values = (new, after, old, before)
                self._base.execute("UPDATE spans SET part = ?, first = ? WHERE part = ? AND first = ?", values)
            query = "UPDATE parts SET rows = (SELECT sum(rows) FROM spans WHERE part = ?) WHERE number = ?"
            self._base.execute(query, (new, new))
        self._base.execute("DELETE FROM spans WHERE part = ?", (old,))
        self._base.execute("DELETE FROM parts WHERE number = ?", (old,))

    def disown(self, name: str) -> None:
        """From now on no content is that of this input: its rows are about to be removed, part by part."""
        self._base.execute("UPDATE inputs SET sha256 = '', done = 0 WHERE name = ?", (name,))

    def forget(self, name: str) -> None:
        self._base.execute("DELETE FROM inputs WHERE name = ?", (name,))

    def note_run(self, seconds: float, rows: int) -> None:
        """Note that a run has come to its end. An input that it has not met is not there any more to be mended."""
        not_met = f"DELETE FROM quarantine WHERE code NOT IN {_LASTING} AND input NOT IN (SELECT name FROM met)"
        self._base.execute(not_met)
        self._base.execute("INSERT INTO seconds (seconds, rows) VALUES (?, ?)", (seconds, rows))

    # What the summary tells

    def tally(self) -> Tally:
        """Counts over all rows."""
        total = Tally()
        for (content,) in self._base.execute("SELECT tally FROM spans"):
            total.add(json.loads(content))
        return total

    def totals(self) -> dict[str, int]:
        """Counts of inputs, parts and what was left out of them."""
        query = (
            "SELECT count(*), coalesce(sum(done), 0), coalesce(sum(dropped), 0), coalesce(sum(replaced), 0) FROM inputs"
        )
        inputs, done, dropped, replaced = self._base.execute(query).fetchone()
        parts, rows = self._base.execute("SELECT count(*), coalesce(sum(rows), 0) FROM parts").fetchone()
        (failed,) = self._base.execute("SELECT count(DISTINCT input) FROM quarantine").fetchone()
        return {
            "inputs": inputs, "inputs_done": done, "inputs_in_quarantine": failed, "paragraphs": rows, "parts": parts,
            "lines_left_out": dropped, "inputs_with_replaced_bytes": replaced,
        }  # fmt: skip

    def seconds(self) -> float:
        """How long all runs have taken that came to their end."""
        return float(self._base.execute("SELECT coalesce(sum(seconds), 0) FROM seconds").fetchone()[0])

    def quarantine(self) -> Iterator[tuple[str, Fault]]:
        rows = self._base.execute("SELECT input, code, reason FROM quarantine ORDER BY input, code")
        return ((name, Fault(code, reason)) for name, code, reason in rows)

    def quarantine_codes(self) -> dict[str, int]:
        return dict(self._base.execute("SELECT code, count(*) FROM quarantine GROUP BY code ORDER BY 2 DESC, 1"))


class _Base(sqlite3.Connection):
    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        with _explained():
            return super().execute(*arguments)


@contextmanager
def _explained() -> Iterator[None]:
    """Raise `OutputError` where the disk is full, the ledger may not be written to, or is damaged."""
    try:
        yield
    except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
        raise  # this program's mistake
    except sqlite3.DatabaseError as fault:
        raise OutputError(
            f"{FILE} cannot be read or written ({fault}); see to room on the disk and to permissions, put back a copy "
            "if it is damaged, or name another folder. 台账无法读写，请检查磁盘空间和权限，或换一个目录。"
        ) from fault


class _Transaction:
    def __init__(self, base: sqlite3.Connection) -> None:
        self._base = base

    def __enter__(self) -> None:
        self._base.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, value: object, traceback: object) -> None:
        if kind is None:
            self._base.execute("COMMIT")
        elif self._base.in_transaction:  # a full disk has ended it already
            self._base.execute("ROLLBACK")
