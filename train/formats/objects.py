"""JSON: lines or a list of objects, whoever wrote them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from train.dataset import unique_keys
from train.formats.records import FormatError, Record, Table
from train.formats.tools import unpack


def json_table(file: Path, text: str, encoding: str) -> Table:
    """One object a line, one list of objects, or a single object over several lines.

    Raises:
        FormatError: a list or an object that is broken somewhere, so that nobody knows what is missing. A broken line
            among good ones is a `fault`.
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


def _lines(file: Path, text: str) -> list[tuple[str, Any]]:
    """Each line's value, or the error that it gave."""
    lines = [(f"{file}:{number}", line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    values = [(place, _value(line)) for place, line in lines]
    if len(values) == 1 or isinstance(values[0][1], dict):
        return values
    whole = _value(text)
    if isinstance(whole, dict):
        return [(lines[0][0], whole)]
    if not any(isinstance(value, dict) for _, value in values):
        raise FormatError(f"is no JSON object, nor is any of its lines: {_where(whole)}; write one object a line")
    return values


def _elements(file: Path, text: str) -> list[tuple[str, Any]]:
    values = _value(text)
    if isinstance(values, json.JSONDecodeError):
        raise FormatError(f"is broken JSON: {_where(values)}; export it again")
    if isinstance(values, ValueError):
        raise FormatError(f"is not JSON that can be read: {values}")
    return [(f"{file}#{number}", value) for number, value in enumerate(values, start=1)]


def _value(text: str) -> Any:
    """The value, or the error that it gave."""
    try:
        return json.loads(text, object_pairs_hook=unique_keys)
    except ValueError as fault:
        return fault
    except RecursionError as fault:
        return ValueError(str(fault))


def _where(fault: ValueError) -> str:
    if not isinstance(fault, json.JSONDecodeError):
        return str(fault)
    return f"{fault.msg} at line {fault.lineno}, column {fault.colno}"
