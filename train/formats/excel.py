"""Excel workbooks: a table for each sheet."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from train.formats.records import FormatError, Record, Table, Unreadable
from train.formats.tables import header_of, is_filled, record_of


def excel_tables(file: Path) -> list[Table]:
    """The sheets of a workbook that hold anything. Formulas count as what they last came to.

    A sheet without a header that can be read is a table of one record, which says so: the other sheets are still good.

    Raises:
        FormatError: no workbook, or one that cannot be opened.
    """
    import openpyxl

    try:
        with zipfile.ZipFile(file) as archive:
            names = set(archive.namelist())
        if names & {"content.xml", "xl/workbook.bin"}:
            raise FormatError("is a table of another kind (.ods, .xlsb); open it, and save it as .xlsx or CSV")
        if "xl/workbook.xml" not in names:
            raise FormatError("is a ZIP archive; unpack it, and name the files that were in it")
        book = openpyxl.load_workbook(file, read_only=True, data_only=True)
        try:
            tables = [_table(f"{file}[{sheet.title}]", sheet) for sheet in book.worksheets]
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


@dataclass(frozen=True, slots=True)
class _Marks:
    """What openpyxl leaves out of a sheet that it reads row by row; of a workbook read whole it refuses more kinds.

    Attributes:
        uncalculated: the cells with a formula that no program has given a value, as in "B2".
        merged: by the row and column (from 1) of the topmost cell, the last row of cells merged over several rows.
    """

    uncalculated: frozenset[str | None]
    merged: dict[tuple[int, int], int]


def _table(place: str, sheet: Any) -> Table | None:
    """Rows go by Excel's own numbers. None for a sheet with nothing in it."""
    rows = list(_rows(sheet))
    if not rows:
        return None
    (top, first), *below = rows
    kind = "Excel" if sheet.sheet_state == "visible" else "Excel, hidden sheet"
    try:
        header = header_of(first, (cells for _, cells in below))
    except FormatError as fault:
        return Table(place, kind, [Record(f"{place}:{top}", fault=f"left out with its {len(below)} rows: {fault}")])
    return Table(place, kind, [record_of(f"{place}:{number}", header, cells) for number, cells in below])


def _rows(sheet: Any) -> Iterator[tuple[int, list[Any]]]:
    """The rows with anything of their own in them. Below the header, cells that are merged share their value."""
    sheet.reset_dimensions()  # some programs write wrong ones, and rows beyond them would be lost
    marks = _marks(sheet)
    has_header = False
    shared: dict[int, tuple[int, Any]] = {}  # by column: until which row, and the value
    for number, cells in enumerate(sheet.iter_rows(), start=1):
        values = [_value(cell, marks) for cell in cells]
        if not any(map(is_filled, values)):
            continue
        for column, (last, value) in shared.items():
            if number <= last:
                values += [None] * (column - len(values))
                values[column - 1] = value
        if has_header:
            for column, value in enumerate(values, start=1):
                if (number, column) in marks.merged:
                    shared[column] = marks.merged[number, column], value
        has_header = True
        yield number, values


def _value(cell: Any, marks: _Marks) -> Any:
    from openpyxl.utils.escape import unescape

    if cell.data_type == "e":
        return Unreadable(f"cell {cell.coordinate} holds the error {cell.value}; correct it, or delete it")
    if isinstance(cell.value, str):
        return unescape(cell.value)
    if cell.value is None and getattr(cell, "coordinate", "") in marks.uncalculated:
        return Unreadable(f"the formula in cell {cell.coordinate} was never calculated; open and save it in Excel")
    return cell.value


def _marks(sheet: Any) -> _Marks:
    from openpyxl.utils import range_boundaries

    uncalculated: set[str | None] = set()
    merged: dict[tuple[int, int], int] = {}
    with sheet._get_source() as source:  # the sheet's XML; openpyxl has no public way to it
        for _, element in ElementTree.iterparse(source):
            match element.tag.rpartition("}")[2]:
                # A formula that came to an empty text has no value either; Excel says then that it is text.
                case "c" if element.get("t") != "str" and element.find("{*}f") is not None:
                    if not element.findtext("{*}v"):
                        uncalculated.add(element.get("r"))
                case "mergeCell":
                    left, top, _, bottom = range_boundaries(element.get("ref", ""))
                    if top and left and bottom and bottom > top:
                        merged[top, left] = bottom
                case "row":
                    element.clear()
    return _Marks(frozenset(uncalculated), merged)
