"""Tables with a header: CSV, Excel and Parquet."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from train.formats.records import FormatError, Record, Table

_DELIMITERS = ",\t;|"
_BATCH = 4096


def csv_table(file: Path, text: str, encoding: str) -> Table:
    """CSV with any of the usual delimiters. A record's place is the line that it begins on.

    Raises:
        FormatError: no header that makes columns.
    """
    # Of the usual delimiters the one that makes the most columns of the header: csv.Sniffer counts marks in the cells
    # too, and running text is full of them.
    delimiter = max(_DELIMITERS, key=lambda delimiter: len(_header(text, delimiter)))
    header: list[str] = []
    records = []
    for start, cells in _rows(text, delimiter):
        if isinstance(cells, csv.Error):
            fault = f"is no CSV: {cells}; are its quotation marks in pairs?"
            records.append(Record(f"{file}:{start}", fault=fault))
        elif header:
            records.append(_record(f"{file}:{start}", header, cells))
        else:
            header = _checked([name.strip() for name in cells])
    named = {"\t": "tab"}.get(delimiter, delimiter)
    return Table(str(file), f"CSV ({named})" if len(header) > 1 else "CSV", records, encoding)


def excel_tables(file: Path) -> list[Table]:
    """The sheets of a workbook that hold anything. Formulas count as what they last came to.

    Raises:
        FormatError: no workbook, or one that cannot be opened.
    """
    import openpyxl

    try:
        with zipfile.ZipFile(file) as archive:
            if "xl/workbook.xml" not in archive.namelist():
                raise FormatError("is a ZIP archive; unpack it, and name the files that were in it")
        book = openpyxl.load_workbook(file, read_only=True, data_only=True)
        try:
            tables = [_sheet(f"{file}[{sheet.title}]", sheet) for sheet in book.worksheets]
        finally:
            book.close()
    except FormatError:
        raise
    except Exception as fault:  # openpyxl lets whatever its parsers raise through
        raise FormatError(f"cannot be opened as an Excel workbook: {fault}; save it anew, or as CSV") from None
    filled = [table for table in tables if table is not None]
    if not filled:
        raise FormatError("has nothing in its sheets")
    return filled


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


def _sheet(place: str, sheet: Any) -> Table | None:
    """Rows go by Excel's own numbers. None for a sheet with nothing in it."""
    sheet.reset_dimensions()  # some programs write wrong ones, and rows beyond them would be lost
    rows = _filled(sheet.iter_rows(values_only=True))
    top = next(rows, None)
    if top is None:
        return None
    header = _checked(["" if name is None else str(name).strip() for name in top[1]])
    return Table(place, "Excel", [_record(f"{place}:{number}", header, cells) for number, cells in rows])


def _filled(rows: Iterable[Sequence[Any]]) -> Iterator[tuple[int, Sequence[Any]]]:
    for number, cells in enumerate(rows, start=1):
        if any(cell is not None and str(cell).strip() for cell in cells):
            yield number, cells


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


def _header(text: str, delimiter: str) -> list[str]:
    _, cells = next(_rows(text, delimiter))
    if isinstance(cells, csv.Error):
        raise FormatError(f"is no CSV: {cells}; are its quotation marks in pairs?")
    return cells


def _checked(header: list[str]) -> list[str]:
    repeated = sorted({name for name in header if name and header.count(name) > 1})
    if repeated:
        raise FormatError(f"has two columns named {', '.join(repeated)}; name each one differently")
    if not any(header):
        raise FormatError("has no header; write the names of the columns into its first row")
    return header


def _record(place: str, header: Sequence[str], cells: Sequence[Any]) -> Record:
    """Empty cells count as absent. Cells under no name are a sign of a delimiter inside a text."""
    named = list(cells[: len(header)]) + [None] * (len(header) - len(cells))
    stray = [
        cell
        for name, cell in [*zip(header, named, strict=True), *(("", cell) for cell in cells[len(header) :])]
        if not name and cell is not None and str(cell).strip()
    ]
    if stray:
        columns = sum(map(bool, header))
        return Record(
            place, fault=f"has {len(stray)} cells outside the {columns} columns; put texts with a delimiter in quotes"
        )
    return Record(place, {name: None if cell == "" else cell for name, cell in zip(header, named, strict=True) if name})
