"""Formats: an input to its rows. A document's paragraphs are cleaned and cut; a table's rows are taken as they are.

Tables are read as a stream, of any size. Documents are read whole, so their size has a limit.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, BinaryIO, NamedTuple, cast

from policy_topics.documents import LARGEST_UNPACKED, decode, read_document
from policy_topics.segment import paragraphs
from serve.archive import ebooks, word
from serve.archive.faults import Damaged, Fault, MissingColumn, NoText, TooLarge, Unsupported
from serve.archive.inputs import spool
from serve.archive.packed import plain_name, unpacked

_SAMPLE = 65536
_PARQUET_ROWS = 256
_COLUMNS = ("id", "document", "text", "date", "source")
_SURROGATE = re.compile("[\ud800-\udfff]")
_UNDECODED = "\udcff"
"""In a line of a table, for bytes that its encoding does not have. No encoding gives half of a surrogate pair."""
_UNDECODED_ROW = "bytes that fit no encoding; save the file as UTF-8"
_DATE = re.compile(r"(?<!\d)((?:19|20)\d\d)(?:[-_./年](1[0-2]|0?[1-9])(?!\d)|(1[0-2]|0[1-9])(?:[0-3]\d)?(?!\d))")
_NO_DOCUMENTS = {".json", ".xml", ".js", ".css", ".svg", ".yaml", ".yml", ".toml", ".py", ".log", ".sql"}


@dataclass(frozen=True, slots=True)
class Input:
    """Something with a content of its own: a file, or one of the files in an archive. It may be packed singly."""

    name: str
    sha256: str
    file: BinaryIO


class Row(NamedTuple):  # which takes a third of the time of a dataclass to pickle
    """One paragraph to be scored. `number` counts the paragraphs or rows of its input from 0; `month` is `2021-05`."""

    id: str
    document: str
    number: int
    text: str
    month: str | None
    source: str


@dataclass(slots=True)
class Notes:
    """What there is to say of an input beside its rows."""

    dropped: int = 0
    replaced: bool = False
    bad_rows: int = 0
    first_bad: str = ""
    remarks: list[str] = field(default_factory=list)

    def bad(self, place: str, reason: str) -> None:
        self.bad_rows += 1
        self.first_bad = self.first_bad or f"{place}: {reason}"

    def faults(self) -> tuple[Fault, ...]:
        """What was left out although the rest was read."""
        found = [Fault("partly_read", remark) for remark in self.remarks]
        if self.bad_rows:
            found.append(Fault("bad_rows", f"{self.bad_rows} rows not scored; first: {self.first_bad}. 有行无法读取。"))
        return tuple(found)


def rows_of(found: Input, most_characters: int, notes: Notes) -> Iterator[Row]:
    """The rows of an input, in order.

    Raises:
        Refused, DocumentError: it cannot be read, or not to its end; rows that came before are sound.
    """
    plain = plain_name(found.name)
    suffix = PurePosixPath(plain).suffix.lower()
    file = unpacked(found.file)
    if suffix in (".jsonl", ".ndjson"):
        records = _jsonl(file, most_characters, notes)
    elif suffix in (".csv", ".tsv"):
        records = _csv(file, most_characters, notes)
    elif suffix == ".parquet":
        records = _parquet(file, notes)
    elif suffix in _NO_DOCUMENTS:
        raise Unsupported(f"{suffix} files hold no documents; make it JSONL, CSV or text. 不支持此类文件。")
    else:
        yield from _document(file, found.name, plain, most_characters, notes)
        return
    yield from _table(records, found.name, most_characters, notes)


def _table(records: Iterator[tuple[int, str, Mapping[str, Any]]], name: str, most: int, notes: Notes) -> Iterator[Row]:
    """Rows of (index, place for people, fields)."""
    nothing = True
    month, folder = _month(name), posixpath.dirname(name)
    for index, place, fields in records:
        nothing = False
        text = fields.get("text")
        if not isinstance(text, str):
            notes.bad(place, "no `text`, or it is no string")
        elif len(text) > most:
            notes.bad(place, f"a text of over {most} characters (archive.document_characters)")
        else:
            yield Row(
                id=_string(fields.get("id")) or f"{name}#{index}",
                document=_string(fields.get("document")) or name,
                number=index,
                text=_SURROGATE.sub("\ufffd", text),
                month=_month(_string(fields.get("date"))) or month,
                source=_string(fields.get("source")) or folder,
            )
    if nothing and not notes.bad_rows:
        raise NoText("has no rows. 没有数据行。")


def _document(file: BinaryIO, name: str, plain: str, most: int, notes: Notes) -> Iterator[Row]:
    data = file.read(LARGEST_UNPACKED + 1)
    if len(data) > LARGEST_UNPACKED:
        raise TooLarge(f"over {LARGEST_UNPACKED} bytes; split it. 文件过大，请拆分。")
    if ebooks.is_ebook(data):
        text = ebooks.read_ebook(data)
    elif word.is_old_word(data, plain):
        text = word.read_old_word(data)
    else:
        document = read_document(data, plain)
        text, notes.replaced = document.text, "replaced" in (document.encoding or "")
        notes.remarks += [f"{plain}: {remark}" for remark in document.remarks]
        notes.dropped += len(document.dropped)
    del data
    if len(text) > most:
        raise TooLarge(f"a text of over {most} characters (archive.document_characters); split it. 文本过长，请拆分。")
    segmented = paragraphs(text)
    notes.dropped += len(segmented.dropped)
    if not segmented.paragraphs:
        raise NoText("no paragraph with a word in it. 没有可判断的文字。")
    month, folder = _month(name), posixpath.dirname(name)
    for each in segmented.paragraphs:
        yield Row(f"{name}#{each.index}", name, each.index, each.text, month, folder)


def _jsonl(file: BinaryIO, most: int, notes: Notes) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
    index = 0
    for number, line in enumerate(_lines(file, most, notes), 1):
        if not line.strip():
            continue
        try:
            if _UNDECODED in line:
                raise ValueError(_UNDECODED_ROW)
            fields = json.loads(line)
            if not isinstance(fields, dict):
                raise ValueError("no JSON object")
        except (ValueError, RecursionError) as fault:
            notes.bad(f"line {number}", f"not JSON ({fault})")
            fields = None
        if fields is not None:
            yield index, f"line {number}", fields
        index += 1


def _csv(file: BinaryIO, most: int, notes: Notes) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
    csv.field_size_limit(2 * most)
    lines = _lines(file, most, notes)
    header = next(lines, "")
    if not header.strip():
        return
    delimiter = max(",;\t", key=header.count)
    names = next(csv.reader([header], delimiter=delimiter))
    if "text" not in names:
        raise MissingColumn(f"no column `text` among {', '.join(names)[:200]}; name it so. 缺少 text 列。")
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    index = -1
    try:
        for index, values in enumerate(row for row in reader if row):
            place = f"line {reader.line_num + 1}"
            if any(_UNDECODED in value for value in values):
                notes.bad(place, _UNDECODED_ROW)
            elif len(values) != len(names):
                notes.bad(place, f"{len(values)} fields, not {len(names)}")
            else:
                yield index, place, dict(zip(names, values, strict=True))
    except csv.Error as fault:
        where = f"line {reader.line_num + 1}"
        raise Damaged(f"broken at {where} ({fault}): check its quotation marks. CSV 引号有误。") from fault


def _parquet(file: BinaryIO, notes: Notes) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    seekable = file if file.seekable() else spool(file)[0]
    try:
        table = pq.ParquetFile(seekable, pre_buffer=False)
        names = table.schema_arrow.names
        if "text" not in names:
            raise MissingColumn(f"no column `text` among {', '.join(names)[:200]}; name it so. 缺少 text 列。")
        columns = [name for name in _COLUMNS if name in names]
        index = 0
        for batch in table.iter_batches(_PARQUET_ROWS, columns=columns, use_threads=False):
            for fields in batch.to_pylist():
                yield index, f"row {index + 1}", fields
                index += 1
    except (pa.ArrowException, OSError) as fault:
        raise Damaged(f"no whole Parquet file ({fault}); write it again. Parquet 文件已损坏。") from fault


def _lines(file: BinaryIO, most: int, notes: Notes) -> Iterator[str]:
    """Lines of a text file in whatever encoding; each may be of `most` characters, escaped.

    The encoding is that of the first 64 KiB. Where they are ASCII they tell nothing, and the first line that is not
    decides.
    """
    buffered = io.BufferedReader(cast(io.RawIOBase, file), _SAMPLE)
    sample = buffered.peek()  # as it reads a whole buffer, less than that only at the file's end
    if not sample:
        return
    if len(sample) == _SAMPLE and b"\0" not in sample:  # UTF-16 may be cut anywhere
        sample = sample[: sample.rfind(b"\n") + 1] or sample
    encoding = _encoding(sample)
    late = encoding == "utf-8" and sample.isascii()
    longest = 8 * most
    text = io.TextIOWrapper(buffered, "ascii" if late else encoding, "surrogateescape" if late else _MARK, newline="")
    chosen = ""
    first = True
    try:
        while line := text.readline(longest):
            if len(line) == longest and not line.endswith("\n"):
                raise TooLarge(f"a line of over {longest} characters; split it. 行过长，请拆分。")
            if late and not line.isascii():
                raw = line.encode("ascii", "surrogateescape")
                chosen = chosen or _encoding(raw)
                line = raw.decode(chosen, _MARK)
            notes.replaced = notes.replaced or _UNDECODED in line
            yield line.removeprefix("\ufeff") if first else line
            first = False
    finally:
        text.detach()  # closing the file is up to whoever opened it
        buffered.detach()


def _encoding(data: bytes) -> str:
    return decode(data)[1].partition(" ")[0]


def _marked(fault: UnicodeError) -> tuple[str, int]:
    assert isinstance(fault, UnicodeDecodeError)
    return _UNDECODED, fault.end


_MARK = "policy_topics.undecoded"
codecs.register_error(_MARK, _marked)


def _month(text: str) -> str | None:
    """`2021-05` of a text, such as a file's name, whose first date is `2021-05-06`, `20210506` or `2021年5月`."""
    found = _DATE.search(text)
    return f"{found[1]}-{int(found[2] or found[3]):02}" if found else None


def _string(value: object) -> str:
    return "" if value is None else _SURROGATE.sub("\ufffd", str(value))
