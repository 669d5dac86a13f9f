"""The parts once more as JSON lines or CSV, for those whose programs read no Parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow.parquet as pq

from serve.archive.job import Form
from serve.archive.output import explained, part_files, write_output

_ROWS = 1000


def export(parts: list[Path], folder: Path, form: Form) -> None:
    """Write each part that is not there yet in another form into a folder, and remove what is of no part any more.

    Raises:
        OutputError: something else is in the folder, or it cannot be written to.
    """
    with explained(folder):
        folder.mkdir(exist_ok=True)
    wanted = {f"{part.stem}.{form}": part for part in parts}
    for file in part_files(folder, form):
        if file.name not in wanted:
            file.unlink()
    for name, part in wanted.items():
        if not (folder / name).exists():
            _write(part, folder / name, form)


def _write(part: Path, file: Path, form: Form) -> None:
    lines = _json_lines(part) if form is Form.jsonl else _csv_lines(part)

    def write(stream: IO[bytes]) -> None:
        for line in lines:
            stream.write(line.encode())

    write_output(file, write)


def _json_lines(part: Path) -> Iterator[str]:
    for row in _rows(part):
        yield json.dumps(row, ensure_ascii=False) + "\n"


def _csv_lines(part: Path) -> Iterator[str]:
    """Lists are joined by semicolons: topics have none in their ids."""
    line = io.StringIO()
    writer = csv.writer(line)
    writer.writerow(pq.read_schema(part).names)
    for row in _rows(part):
        writer.writerow(";".join(map(str, cell)) if isinstance(cell, list) else cell for cell in row.values())
        yield line.getvalue()
        line.seek(0)
        line.truncate()
    yield line.getvalue()  # the header of a part without rows


def _rows(part: Path) -> Iterator[dict[str, Any]]:
    for batch in pq.ParquetFile(part).iter_batches(_ROWS):
        for row in batch.to_pylist():
            row["probabilities"] = [round(probability, 4) for probability in row["probabilities"]]
            yield row
