"""Tables with a header: CSV and Parquet, and what a header and a row make of a record."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from train.formats.records import FormatError, Record, Table

_DELIMITERS = ",\t;|"
_BATCH = 4096


def csv_table(file: Path, text: str, encoding: str) -> Table:
    """CSV with any of the usual delimiters, or the one that it names. A record's place is the line that it begins on.

    Raises:
        FormatError: no header that makes columns.
    """
    # Of the usual delimiters the one that makes the most columns of the header: csv.Sniffer counts marks in the cells
    # too, and running text is full of them. Excel knows a line before the header that says it: "sep=;".
    named = re.match(r'(?i)sep=([^"\r\n])\r?\n', text)
    delimiter = named[1] if named else max(_DELIMITERS, key=lambda delimiter: _columns(text, delimiter))
    rows = _rows(text, delimiter)
    if named:
        next(rows)
    first, below = _first(rows), list(rows)
    header = header_of(first, (cells for _, cells in below if not isinstance(cells, csv.Error)))
    records = [
        Record(f"{file}:{start}", fault=_unpaired(cells))
        if isinstance(cells, csv.Error)
        else record_of(f"{file}:{start}", header, cells)
        for start, cells in below
    ]
    shown = {"\t": "tab"}.get(delimiter, delimiter)
    return Table(str(file), f"CSV ({shown})" if len(header) > 1 else "CSV", records, encoding)


def parquet_table(file: Path) -> Table:
    """Parquet. A record's place is its row, from 1.

    Raises:
        FormatError: no Parquet file, or a broken one.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        batches = pyarrow.parquet.ParquetFile(file).iter_batches(batch_size=_BATCH)
        rows = [row for batch in batches for row in batch.to_pylist()]
    except (pyarrow.ArrowException, OSError) as fault:
        raise FormatError(f"cannot be read as Parquet: {fault}") from None
    return Table(str(file), "Parquet", [Record(f"{file}#{i}", row) for i, row in enumerate(rows, start=1)])


def _rows(text: str, delimiter: str) -> Iterator[tuple[int, list[str] | csv.Error]]:
    """Rows with anything in them, or the errors that they gave, each with the line that it begins on."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        start = reader.line_num + 1
        try:
            cells: list[str] | csv.Error = next(reader)
        except StopIteration:
            return
        except csv.Error as fault:
            cells = fault
        if isinstance(cells, csv.Error) or any(cell.strip() for cell in cells):
            yield start, cells


def _first(rows: Iterator[tuple[int, list[str] | csv.Error]]) -> list[str]:
    _, cells = next(rows, (0, []))
    if isinstance(cells, csv.Error):
        raise FormatError(_unpaired(cells))
    return cells


def _columns(text: str, delimiter: str) -> int:
    """How many columns a delimiter makes of the header: none where it stands between quoted names and is another."""
    _, cells = next(_rows(text, delimiter), (0, []))
    return 0 if isinstance(cells, csv.Error) else len(cells)


def _unpaired(fault: csv.Error) -> str:
    return f"is no CSV: {fault}; are its quotation marks in pairs?"


def header_of(cells: Sequence[Any], below: Iterable[Sequence[Any]]) -> list[str]:
    """The names of the columns, "" for a column without one.

    Raises:
        FormatError: the first row makes no header of the rows below it.
    """
    header = ["" if name is None else str(name).strip() for name in cells]
    repeated = sorted({name for name in header if name and header.count(name) > 1})
    if repeated:
        raise FormatError(f"has two columns named {', '.join(repeated)}; name each one differently")
    if not any(header):
        raise FormatError("has no header; write the names of the columns into its first row")
    names = list(filter(None, header))
    if len(names) == 1 and any(sum(map(is_filled, row)) > 1 for row in below):
        raise FormatError(
            f'has one cell in its first row, "{names[0]}", and more in rows below; '
            "delete the rows above the names of the columns"
        )
    return header


def record_of(place: str, header: Sequence[str], cells: Sequence[Any]) -> Record:
    """Empty cells count as absent. Cells under no name are a sign of a delimiter inside a text."""
    named = list(cells[: len(header)]) + [None] * (len(header) - len(cells))
    stray = [
        cell
        for name, cell in [*zip(header, named, strict=True), *(("", cell) for cell in cells[len(header) :])]
        if not name and is_filled(cell)
    ]
    if stray:
        columns = sum(map(bool, header))
        return Record(
            place, fault=f"has {len(stray)} cells outside the {columns} columns; put texts with a delimiter in quotes"
        )
    return Record(place, {name: None if cell == "" else cell for name, cell in zip(header, named, strict=True) if name})


def is_filled(cell: Any) -> bool:
    return cell is not None and bool(str(cell).strip())
