"""JSON: lines or a list of objects, whoever wrote them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from train.dataset import unique_keys
from train.formats.records import FormatError, Record, Table
from train.formats.tools import unpack


def json_table(file: Path, text: str, encoding: str) -> Table:
    """One object a line, or one list of objects.

    Raises:
        FormatError: a list that is broken somewhere, so that nobody knows what is missing. A broken line is a `fault`.
    """
    is_list = text.lstrip().startswith("[")
    kinds: dict[str, None] = {}
    records = []
    for place, value in _elements(file, text) if is_list else _lines(file, text):
        if isinstance(value, json.JSONDecodeError):
            records.append(Record(place, fault=f"is not JSON: {value.msg} at column {value.colno}"))
        elif isinstance(value, ValueError):
            records.append(Record(place, fault=f"is not JSON that can be read: {value}"))
        else:
            kind, record = unpack(place, value, file.stem)
            kinds[kind] = None
            records.append(record)
    shape = "JSON" if is_list else "JSONL"
    return Table(str(file), f"{shape} ({', '.join(kinds)})" if any(kinds) else shape, records, encoding)


def _lines(file: Path, text: str) -> Iterator[tuple[str, Any]]:
    """Each line's value, or the error that it gave."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                value = json.loads(line, object_pairs_hook=unique_keys)
            except (ValueError, RecursionError) as fault:
                value = fault if isinstance(fault, ValueError) else ValueError(str(fault))
            yield f"{file}:{number}", value


def _elements(file: Path, text: str) -> Iterator[tuple[str, Any]]:
    try:
        values = json.loads(text, object_pairs_hook=unique_keys)
    except json.JSONDecodeError as fault:
        where = f"line {fault.lineno}, column {fault.colno}"
        raise FormatError(f"is broken JSON: {fault.msg} at {where}; export it again") from None
    except (ValueError, RecursionError) as fault:
        raise FormatError(f"is not JSON that can be read: {fault}") from None
    return ((f"{file}#{number}", value) for number, value in enumerate(values, start=1))
