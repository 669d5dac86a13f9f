"""The output folder: parts of rows in Parquet, written so that a kill at any moment loses and doubles nothing.

    OUT/paragraphs/part-000001.parquet …   the rows, each exactly once
    OUT/jsonl/, OUT/csv/                   the same parts in another form, on request
    OUT/summary.json, summary.html, quarantine.jsonl, status.json
    OUT/ledger.sqlite                      what is done

A part is written under a temporary name, synced, renamed, and then entered in the ledger with the rows of each input
that it holds. What a run that was killed left behind, the next removes: temporary files, and parts the ledger lacks.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import pyarrow as pa
import pyarrow.parquet as pq

from serve.archive.faults import Duplicate, OutputError
from serve.archive.ledger import Known, Ledger, Model, Span
from serve.archive.reading import Finished
from serve.archive.scoring import Scored
from serve.archive.tally import Tally

ROWS = "paragraphs"
SCHEMA = pa.schema(
    [
        ("id", pa.string()), ("document", pa.string()), ("index", pa.int64()), ("text", pa.string()),
        ("topics", pa.list_(pa.string())), ("probabilities", pa.list_(pa.float32())), ("primary", pa.string()),
        ("model", pa.string()), ("taxonomy", pa.int64()),
    ]
)  # fmt: skip
MOST_CHARACTERS = 16_000_000
"""Of all texts in a part: one of longer texts has fewer rows, so that it fits into memory."""


class Output:
    """An output folder, locked while it is open. `admit` may be called from any thread.

    Raises:
        OutputError: another run writes to it, it holds another model's rows, or it is no output folder.
    """

    def __init__(self, folder: Path, model: Model, part_rows: int) -> None:
        self._parts = folder / ROWS
        self._model = model
        self._part_rows = part_rows
        self._lock = threading.RLock()
        self._parts.mkdir(parents=True, exist_ok=True)
        self._claim = _claimed(folder)
        self.ledger = Ledger(folder, model)
        self._schema = SCHEMA.with_metadata(
            {"model": model.name, "model_version": model.version, "taxonomy": str(model.taxonomy)}
        )
        self._remove_remainders()
        self._start_part()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, traceback: TracebackType | None) -> None:
        with self._lock:
            self.ledger.close()
        self._claim.close()

    def admit(self, name: str, sha256: str) -> int | None:
        """How many rows of an input are in the parts; None if all are. Rows of other content of it are removed.

        Raises:
            Duplicate: this run has met the name with other content.
        """
        with self._lock:
            met = self.ledger.meet(name, sha256)
            if met == sha256:
                return None
            if met:
                raise Duplicate("another file of this name, with other content, was scored. 同名而内容不同。")
            known = self.ledger.known(name)
            if known and known.sha256 != sha256:
                self._forget(name)
                known = None
            return remaining(known, sha256)

    def known_within(self, name: str) -> dict[str, Known]:
        """What the ledger knows of a source and of the files in it."""
        with self._lock:
            return self.ledger.known_within(name)

    def add(self, scored: Scored) -> None:
        """Take rows; they are in the output once `commit` returns, which full parts do of themselves."""
        if not self._spans or self._spans[-1].input != scored.name:
            self._spans.append(Span(len(self._rows), 0, scored.name, scored.sha256, Tally()))
        tally = self._spans[-1].tally
        for row, topics in zip(scored.rows, scored.topics, strict=True):
            primary = topics.ids[0] if topics.ids else None
            # fmt: off
            self._rows.append((
                row.id, row.document, row.index, row.text, topics.ids, topics.probabilities, primary,
                f"{self._model.name} {self._model.version}", self._model.taxonomy,
            ))
            # fmt: on
            self._characters += len(row.text)
            tally.count(row, topics)
        if len(self._rows) >= self._part_rows or self._characters >= MOST_CHARACTERS:
            self.commit()

    def finish(self, finished: Finished) -> None:
        """Note how an input ended, with the part that its last rows are in."""
        self._finished.append(finished)
        if len(self._finished) >= self._part_rows:
            self.commit()

    def commit(self) -> None:
        """Write what has been taken."""
        if not self._rows and not self._finished:
            return
        with self._lock:
            number = self.ledger.next_part()
            if self._rows:
                columns = zip(zip(*self._rows, strict=True), self._schema.types, strict=True)
                arrays = [pa.array(column, kind) for column, kind in columns]
                self._write(pa.Table.from_arrays(arrays, schema=self._schema), number)
            with self.ledger.transaction():
                if self._rows:
                    self.ledger.add_part(number, self._whole_spans())
                for finished in self._finished:
                    self.ledger.finish(finished)
        self._start_part()

    def files(self) -> list[Path]:
        """The parts."""
        return [self._file(number) for number in self.ledger.parts()]

    def _start_part(self) -> None:
        self._rows: list[tuple[object, ...]] = []
        self._spans: list[Span] = []
        self._finished: list[Finished] = []
        self._characters = 0

    def _whole_spans(self) -> list[Span]:
        return [Span(span.first, span.tally.rows, span.input, span.sha256, span.tally) for span in self._spans]

    def _forget(self, name: str) -> None:
        """Remove an input's rows: each part that holds some is written anew without them."""
        self.ledger.disown(name)
        for old in self.ledger.parts_with(name):
            table = pq.read_table(self._file(old))
            kept = [(first, rows) for first, rows, owner in self.ledger.spans(old) if owner != name]
            new = self.ledger.next_part() if kept else None
            if new is not None:
                self._write(pa.concat_tables([table.slice(first, rows) for first, rows in kept]), new)
            moved, row = [], 0
            for first, rows in kept:
                moved.append((first, row))
                row += rows
            with self.ledger.transaction():
                self.ledger.replace_part(old, new, moved)
            self._file(old).unlink(missing_ok=True)
        self.ledger.forget(name)

    def _write(self, table: pa.Table, number: int) -> None:
        write_whole(self._file(number), lambda stream: pq.write_table(table, stream, compression="zstd"))

    def _file(self, number: int) -> Path:
        return self._parts / f"part-{number:06}.parquet"

    def _remove_remainders(self) -> None:
        known = {file.name for file in self.files()}
        there = {entry.name for entry in os.scandir(self._parts)}
        if missing := sorted(known - there):
            raise OutputError(
                f"{self._parts}: {missing[0]} is missing ({len(missing)} in all); put it back, or start in another "
                "folder. 输出文件缺失。"
            )
        for name in there - known:
            if not name.startswith(("part-", ".part-")):
                raise OutputError(f"{self._parts}: {name} is not of this program; move it away. 目录中有其他文件。")
            (self._parts / name).unlink()


def remaining(known: Known | None, sha256: str) -> int | None:
    """How many rows of an input to skip, with what the ledger knows of it; None if there is nothing left to do."""
    if known is None or known.sha256 != sha256:
        return 0
    return None if known.done else known.rows


def write_whole(file: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file so that it is there whole or not at all, and stays there when the power fails."""
    temporary = file.with_name(f".{file.name}.tmp")
    with temporary.open("wb") as stream:
        write(stream)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.rename(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _claimed(folder: Path) -> IO[bytes]:
    claim = (folder / ".lock").open("wb")
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        claim.close()
        raise OutputError(f"{folder}: another run is writing to it. 另一个任务正在写入此目录。") from None
    return claim
