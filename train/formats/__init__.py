"""Files that people label in, to records: tables (CSV, Excel, Parquet), JSON, and what labelling tools export."""

from __future__ import annotations

from pathlib import Path

from policy_topics.encodings import decode
from policy_topics.errors import UnsupportedDocument, how_to_install
from train.formats.excel import excel_tables
from train.formats.objects import json_table
from train.formats.records import FormatError, Record, Table, Unreadable, Votes
from train.formats.tables import csv_table, parquet_table

__all__ = ["FormatError", "Record", "Table", "Unreadable", "Votes", "read_tables"]

_OLE = b"\xd0\xcf\x11\xe0"
"""The container of Excel's files before 2007, and of newer ones under a password."""


def read_tables(file: Path) -> list[Table]:
    """The records of a file; its content tells what it is, and its ending where the content leaves it open.

    A workbook has a table for each of its sheets, any other file has one.

    Raises:
        FormatError: the file cannot be read as a whole; single bad records have a `fault` instead.
    """
    try:
        data = file.read_bytes()
    except OSError as fault:
        raise FormatError(f"cannot be read: {fault.strerror}") from None
    try:
        if data.startswith(b"PAR1"):
            return [parquet_table(file)]
        if data.startswith(b"PK\x03\x04"):
            return excel_tables(file)
    except ImportError as fault:
        raise FormatError(f"wants {fault.name}; {how_to_install('train')}, or save it as CSV") from None
    if data.startswith(_OLE):
        raise FormatError("is an Excel file of the old kind or under a password; save it as .xlsx without a password")
    try:
        text, encoding = decode(data)
    except UnsupportedDocument:
        raise FormatError("is neither text nor Excel nor Parquet; save it as one of them") from None
    if not text.strip():
        raise FormatError("is empty; leave it out, or export it again")
    is_json = text.lstrip().startswith(("{", "[")) and file.suffix.lower() not in {".csv", ".tsv"}
    return [json_table(file, text, encoding) if is_json else csv_table(file, text, encoding)]
