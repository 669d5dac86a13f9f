"""Files of labelled paragraphs as other programs write them, and what an import makes of them."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openpyxl

from configs.taxonomy import load_taxonomy
from train.importing import Imported, import_files

TAXONOMY = load_taxonomy()


def lines(file: Path, *records: Any) -> Path:
    file.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), "utf-8")
    return file


def array(file: Path, *records: Any) -> Path:
    file.write_text(json.dumps(records, ensure_ascii=False), "utf-8")
    return file


def table(file: Path, *rows: Sequence[str], encoding: str = "utf-8", delimiter: str = ",") -> Path:
    with file.open("w", encoding=encoding, newline="") as out:
        csv.writer(out, delimiter=delimiter).writerows(rows)
    return file


def workbook(file: Path, **sheets: Sequence[Sequence[Any]]) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(list(row))
    book.save(file)
    return file


def imported(*files: Path, **options: Any) -> Imported:
    return import_files(files, TAXONOMY, **options)


def labels(result: Imported) -> list[list[str]]:
    return [row["labels"] for row in result.rows]


def reasons(result: Imported) -> dict[str, str]:
    """Why records were refused, by the end of their place behind the file's folder."""
    return {Path(each.place).name: "; ".join(each.reasons) for each in result.report.refused}
