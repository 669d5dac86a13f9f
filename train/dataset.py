"""Labelled paragraphs: JSON lines in, clean rows out, and a line-numbered list of everything that is wrong with them.

One object a line: `{"text", "labels": [topic ids, primary first], "id"?, "document"?, "date"?, "genre"?, "source"?}`.
Other keys are allowed and stay in the line as it was read. `null` and blank count as absent; blank lines are skipped.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from configs.taxonomy import MOST_TOPICS, Taxonomy
from policy_topics.errors import DataError
from policy_topics.text import clean

if TYPE_CHECKING:
    from datasets import Dataset

_FORM = 'write one object {"text": …, "labels": […]} a line'

_SHOWN = 20
"""Faults that an error message lists; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a file, as it stands there. The defaults are for a paragraph that no file holds."""

    file: Path = Path()
    number: int = 0
    json: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.number}"


@dataclass(frozen=True, slots=True)
class LabelledParagraph:
    """A paragraph and its topics.

    Attributes:
        id: unique in what was read together; file and line where the data gives none.
        text: clean, as the model sees it; the text as it was written is in `line`.
        labels: topic ids, primary first, none repeated, at most `MOST_TOPICS`.
        document: what it was taken from; paragraphs of one document are never divided between splits.
        date, genre, source: as written.
    """

    id: str
    text: str
    labels: tuple[str, ...]
    document: str | None = None
    date: str | None = None
    genre: str | None = None
    source: str | None = None
    line: Line = Line()


@dataclass(frozen=True, slots=True)
class Remark:
    """Something about one line of a file, or about the whole file: what it is and what to do."""

    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


@dataclass(frozen=True, slots=True)
class Reading:
    """What files hold: the rows without a fault, the faults, and what a person should know of the good rows."""

    rows: list[LabelledParagraph] = field(default_factory=list)
    faults: list[Remark] = field(default_factory=list)
    warnings: list[Remark] = field(default_factory=list)


def read(files: Iterable[Path], taxonomy: Taxonomy) -> list[LabelledParagraph]:
    """Read labelled paragraphs, in the order of files and lines.

    Raises:
        DataError: anything is wrong in any of the files; the message lists the faults of all of them.
    """
    reading = scan(files, taxonomy)
    if reading.faults:
        raise DataError(describe(reading.faults))
    return reading.rows


def scan(files: Iterable[Path], taxonomy: Taxonomy) -> Reading:
    """Read labelled paragraphs and collect the faults instead of raising."""
    reading = Reading()
    parser = _Parser(taxonomy, reading)
    seen: set[Path] = set()
    for file in files:
        if file.resolve() in seen:
            reading.faults.append(Remark(str(file), "is named twice; name each file once"))
            continue
        seen.add(file.resolve())
        parser.file(file)
    return reading


def scan_records(records: Iterable[tuple[Line, dict[str, Any]]], taxonomy: Taxonomy) -> Reading:
    """`scan` for objects that are no lines of a file, or not yet."""
    reading = Reading()
    parser = _Parser(taxonomy, reading)
    for line, record in records:
        parser.record(line, record)
    return reading


def describe(faults: Sequence[Remark]) -> str:
    """The message of a `DataError`: how many faults, and the first of them line by line."""
    listed = "".join(f"\n  {fault}" for fault in faults[:_SHOWN])
    rest = f"\n  … and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
    return f"labelled data with {len(faults)} fault{'s' * (len(faults) > 1)}:{listed}{rest}"


def as_dataset(rows: Sequence[LabelledParagraph], taxonomy: Taxonomy) -> Dataset:
    """Rows as a Hugging Face dataset to train on.

    Columns: `id`; `text`, clean; `topics`, topic indices, primary first; `labels`, float32 of shape (topics,) with 1
    for each topic carried, which is the target of a multi-label head.
    """
    from datasets import ClassLabel, Dataset, Features, List, Value  # takes seconds to import

    ids = taxonomy.ids
    features = Features(
        id=Value("string"),
        text=Value("string"),
        topics=List(ClassLabel(names=list(ids))),
        labels=List(Value("float32"), length=len(ids)),
    )
    columns = {
        "id": [row.id for row in rows],
        "text": [row.text for row in rows],
        "topics": [[ids.index(label) for label in row.labels] for row in rows],
        "labels": [[float(topic in row.labels) for topic in ids] for row in rows],
    }
    return Dataset.from_dict(columns, features=features)


def data_fingerprint(rows: Iterable[LabelledParagraph]) -> str:
    """Hash of texts and labels, whatever their order."""
    lines = sorted(json.dumps([row.text, row.labels], ensure_ascii=False) for row in rows)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


class _Parser:
    """Lines to rows. A row is kept when all of it is right; else each of its faults is noted."""

    def __init__(self, taxonomy: Taxonomy, reading: Reading) -> None:
        self._reading = reading
        self._topics = set(taxonomy.ids)
        self._version = taxonomy.version
        self._names = {name: topic.id for topic in taxonomy.topics for name in (topic.zh, topic.en)}
        self._place_of: dict[str, Line] = {}

    def file(self, file: Path) -> None:
        try:
            content = file.read_bytes()
        except OSError as fault:
            return self._fault(file, f"cannot be read: {fault.strerror}")
        if content.startswith((b"\xff\xfe", b"\xfe\xff")):
            return self._fault(file, "is UTF-16; save it as UTF-8")
        lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
        if not any(line.strip() for line in lines):
            return self._fault(file, "is empty; put one object a line into it, or leave the file out")
        for number, raw in enumerate(lines, start=1):
            if raw.strip():
                self._line(file, number, raw.removesuffix(b"\r"))

    def _line(self, file: Path, number: int, raw: bytes) -> None:
        if b"\0" in raw:
            return self._fault(Line(file, number), "holds a NUL byte; delete it, or save a UTF-16 file as UTF-8")
        try:
            line = Line(file, number, raw.decode("utf-8"))
        except UnicodeDecodeError as fault:
            byte = f"byte {fault.start + 1} (0x{raw[fault.start]:02x})"
            return self._fault(Line(file, number), f"is not UTF-8 from {byte} on; save the file as UTF-8")
        try:
            record = json.loads(line.json, object_pairs_hook=unique_keys)
        except json.JSONDecodeError as fault:
            return self._fault(line, f"is not JSON: {fault.msg} at column {fault.colno}; {_FORM}")
        except (ValueError, RecursionError) as fault:
            return self._fault(line, f"is not JSON that can be read: {fault}; {_FORM}")
        if not isinstance(record, dict):
            return self._fault(line, f"is {_kind(record)}, not an object; {_FORM}")
        self.record(line, record)

    def record(self, line: Line, record: dict[str, Any]) -> None:
        before = len(self._reading.faults)
        text = self._text(line, record)
        labels = self._labels(line, record)
        row = LabelledParagraph(
            id=self._optional(line, record, "id") or str(line),
            text=text,
            labels=labels,
            document=self._optional(line, record, "document"),
            date=self._optional(line, record, "date"),
            genre=self._optional(line, record, "genre"),
            source=self._optional(line, record, "source"),
            line=line,
        )
        # Bad rows claim their id too, so that a repeated id is found at once and not only after they are mended.
        first = self._place_of.setdefault(row.id, line)
        if first is not line:
            self._fault(line, f'"id" {_quote(row.id)} stands at {first} already; give each paragraph its own')
        if len(self._reading.faults) == before:
            self._reading.rows.append(row)

    def _text(self, line: Line, record: dict[str, Any]) -> str:
        text = record.get("text")
        if text is None:
            self._fault(line, '"text" is missing; add it, or delete the line')
        elif not isinstance(text, str):
            self._fault(line, f'"text" is {_kind(text)}; write it as text, in quotation marks')
        elif not text.strip():
            self._fault(line, '"text" is empty; fill it, or delete the line')
        elif self._is_whole(line, "text", text):
            result = clean(text)
            if not result.text:
                self._fault(line, f'nothing of "text" {_quote(text)} is left after cleaning; delete the line')
            for dropped in result.dropped if result.text else ():
                self._warn(line, f"cleaning leaves out the boilerplate line {_quote(dropped)}")
            return result.text
        return ""

    def _labels(self, line: Line, record: dict[str, Any]) -> tuple[str, ...]:
        labels = record.get("labels")
        if "labels" not in record:
            self._fault(line, '"labels" is missing; write [] for a paragraph without a topic')
        elif not isinstance(labels, list):
            self._fault(line, f'"labels" is {_kind(labels)}; write a list, e.g. ["education"], or [] for no topic')
        else:
            self._check_labels(line, labels)
            return tuple(map(str, labels))
        return ()

    def _check_labels(self, line: Line, labels: list[Any]) -> None:
        for position, label in enumerate(labels):
            if not isinstance(label, str):
                self._fault(line, f"label {json.dumps(label, ensure_ascii=False)} is {_kind(label)}; write a topic id")
            elif label in labels[:position]:
                self._fault(line, f"label {_quote(label)} is repeated; name each topic once")
            elif label not in self._topics:
                self._fault(line, f"label {_quote(label)} {self._advice(label)}")
        if len(labels) > MOST_TOPICS:
            self._fault(line, f"{len(labels)} labels; keep the {MOST_TOPICS} topics that the text says most about")

    def _advice(self, label: str) -> str:
        plain = "_".join(unicodedata.normalize("NFKC", label).casefold().replace("-", " ").replace("_", " ").split())
        if plain in self._topics:
            return f'differs from "{plain}" only in case, width or spaces; write "{plain}"'
        if label.strip() in self._names:
            return f'is the name of a topic, not its id; write "{self._names[label.strip()]}"'
        near = difflib.get_close_matches(plain, sorted(self._topics), n=1)
        hint = f'did you mean "{near[0]}"?' if near else "its topic ids are in topics.yaml"
        return f"is not in the taxonomy (version {self._version}); {hint}"

    def _optional(self, line: Line, record: dict[str, Any], key: str) -> str | None:
        value = record.get(key)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if isinstance(value, str):
            return value.strip() or None if self._is_whole(line, key, value) else None
        if value is not None:
            self._fault(line, f'"{key}" is {_kind(value)}; write it as text, or leave it out')
        return None

    def _is_whole(self, line: Line, key: str, value: str) -> bool:
        """No NUL and no half of a surrogate pair, which JSON can escape and UTF-8 cannot hold."""
        for character in value:
            if character == "\0" or "\ud800" <= character <= "\udfff":
                self._fault(line, f'"{key}" holds \\u{ord(character):04x}, which is no character; delete it')
                return False
        return True

    def _fault(self, place: Path | Line, message: str) -> None:
        self._reading.faults.append(Remark(str(place), message))

    def _warn(self, place: Line, message: str) -> None:
        self._reading.warnings.append(Remark(str(place), message))


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The hook of `json.loads` that refuses an object in which a key stands twice, with ValueError."""
    record = dict(pairs)
    if len(record) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key {_quote(next(key for key in keys if keys.count(key) > 1))} stands twice in one object")
    return record


def _kind(value: Any) -> str:
    kinds = {type(None): "null", bool: "true or false", str: "text", list: "a list", dict: "an object"}
    return kinds.get(type(value), "a number")


def _quote(text: str, most: int = 40) -> str:
    shown = json.dumps(text if len(text) <= most else text[:most] + "…", ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in shown)
