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
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import pyarrow as pa
import pyarrow.parquet as pq

from configs.settings import ArchiveSettings
from policy_topics.durable import write_whole
from serve.archive.faults import Duplicate, OutputError
from serve.archive.ledger import FILE as LEDGER
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
        OutputError: another run writes to it, it holds another model's rows, it is no output folder or has lost its
            ledger, or it cannot be written to.
    """

    def __init__(self, folder: Path, model: Model, limits: ArchiveSettings) -> None:
        self._parts = folder / ROWS
        self._model = model
        self._part_rows = limits.part_rows
        self._lock = threading.RLock()
        with explained(folder):
            self._parts.mkdir(parents=True, exist_ok=True)
            self._claim = _claimed(folder)
        self._refuse_lost_ledger(folder / LEDGER)
        self.ledger = Ledger(folder, model, limits.document_characters)
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
                raise Duplicate(self.ledger.count_double(name))
            known = self.ledger.known(name)
            if known and known.sha256 != sha256:
                self._forget(name)
                known = None
            if (left := remaining(known, sha256)) is None:
                self.ledger.drop_passing_faults(name)
            return left

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
                row.id, row.document, row.number, row.text, topics.ids, topics.probabilities, primary,
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
        write_output(self._file(number), lambda stream: pq.write_table(table, stream, compression="zstd"))

    def _file(self, number: int) -> Path:
        return self._parts / f"part-{number:06}.parquet"

    def _refuse_lost_ledger(self, ledger: Path) -> None:
        """Raise if there are parts, but no ledger to say what is in them: to a new one they would all be remainders."""
        is_lost = not ledger.exists() or ledger.stat().st_size == 0
        if is_lost and any(map(_number, part_files(self._parts, "parquet"))):
            raise OutputError(
                f"{ledger} is missing, which says what the parts in {self._parts} hold; put it back, or name another "
                "folder. 缺少 ledger.sqlite，请放回，或换一个目录。"
            )

    def _remove_remainders(self) -> None:
        known = set(self.files())
        if missing := sorted(known - set(self._parts.iterdir())):
            raise OutputError(
                f"{self._parts}: {missing[0].name} is missing ({len(missing)} in all); put it back, or start in "
                "another folder. 输出文件缺失。"
            )
        # A run that was cut off left the part that comes next, or one that had been written anew, but none beyond.
        remainders = [file for file in part_files(self._parts, "parquet") if file not in known]
        if strange := [file for file in remainders if _number(file) > self.ledger.next_part()]:
            raise OutputError(
                f"{strange[0]}: {LEDGER} knows of no such part; put back the ledger that does, or name another folder. "
                "ledger.sqlite 与输出文件不符，请放回原来的，或换一个目录。"
            )
        for file in remainders:
            file.unlink()


def part_files(folder: Path, form: str) -> list[Path]:
    """Parts in a folder, in order, and the temporary files of parts.

    Raises:
        OutputError: something else is in it.
    """
    own = re.compile(rf"part-\d+\.{form}|\.part-\d+\.{form}\.unfinished")
    with explained(folder):
        files = sorted(folder.iterdir())
    for file in files:
        if not own.fullmatch(file.name) or file.is_dir():
            raise OutputError(f"{folder}: {file.name} is not of this program; move it away. 目录中有其他文件。")
    return files


def _number(file: Path) -> int:
    """Of a part, from 1; 0 for a temporary file."""
    return int(file.stem.removeprefix("part-")) if file.name.startswith("part-") else 0


def remaining(known: Known | None, sha256: str) -> int | None:
    """How many rows of an input to skip, with what the ledger knows of it; None if there is nothing left to do."""
    if known is None or known.sha256 != sha256:
        return 0
    return None if known.done else known.rows


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Raise `OutputError` where a path cannot be written to."""
    try:
        yield
    except OSError as fault:
        raise OutputError(
            f"{path}: cannot be written to ({fault.strerror or fault}); name a folder on a disk that has room and that "
            "you may write to. 无法写入，请检查路径、权限和磁盘空间。"
        ) from fault


def write_output(file: Path, content: str | Callable[[IO[bytes]], object]) -> None:
    """As `write_whole`.

    Raises:
        OutputError: it cannot be written.
    """
    with explained(file):
        write_whole(file, content)


def _claimed(folder: Path) -> IO[bytes]:
    claim = (folder / ".lock").open("wb")
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        claim.close()
        raise OutputError(f"{folder}: another run is writing to it. 另一个任务正在写入此目录。") from None
    return claim
