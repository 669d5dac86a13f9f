"""One source to chunks of rows with their tokens: what a reader process does, and a read task of Ray.

Whatever a file holds, the answer is messages: its rows in chunks, in order, and then one `Finished` with what is wrong
with it, if anything is.
"""

from __future__ import annotations

import errno
import io
import posixpath
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from configs.settings import ArchiveSettings
from policy_topics.errors import DocumentError
from policy_topics.tokeniser import Tokenised
from serve.archive import packed
from serve.archive.faults import Duplicate, Fault, NestedArchive, Refused
from serve.archive.formats import Input, Notes, Row, rows_of
from serve.archive.inputs import Source, content_hash, fetch, spool

CHUNK_ROWS = 64
CHUNK_CHARACTERS = 32_000

Tokenise = Callable[[Sequence[str]], list[Tokenised]]

Admit = Callable[[str, str], int | None]
"""Name of an input, its sha256 → how many of its rows are done; None if all are.

Raises `Duplicate` where the run has met the name with other content."""

At = Callable[[str, int | None], None]
"""A sign of life: name of what is being read, and its number in its archive; None for a source itself. Called before
anything is read of it, and over and over while it is read."""

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows of an input with their tokens. `position`: how many bytes of the source have been read."""

    name: str
    sha256: str
    rows: tuple[Row, ...]
    tokenised: tuple[Tokenised, ...]
    position: int


@dataclass(frozen=True, slots=True)
class Finished:
    """An input has been read to its end, or as far as it can be.

    Attributes:
        sha256: of its content; None where nothing could be read, and of an archive, whose files count each for itself.
        dropped: lines left out as boilerplate or without a word.
        replaced: whether some of its bytes fit no encoding.
        faults: what is wrong with it.
    """

    name: str
    sha256: str | None
    dropped: int = 0
    replaced: bool = False
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class Skipped:
    """An input of which all rows are done already."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class SourceDone:
    """All of a source has been read. `skipped`: inputs of it that were done already."""

    source: Source
    skipped: int


Message = Chunk | Finished | Skipped | SourceDone


class Reader:
    """Reads one source after another."""

    def __init__(
        self, admit: Admit, tokenise: Tokenise, limits: ArchiveSettings, at: At = lambda name, number: None
    ) -> None:
        self._admit = admit
        self._tokenise = tokenise
        self._limits = limits
        self._at = at
        self._place: tuple[str, int | None] = ("", None)
        self._skipped = 0

    def read(self, source: Source, start: int = 0) -> Iterator[Message]:
        """Everything in a source. Of an archive, from its file number `start` on. Never raises for what it holds."""
        self._skipped = 0
        self._come_to(source.name, None)
        try:
            with fetch(source, self._alive) as opened:
                file = cast(BinaryIO, _Watched(opened, self._alive))
                kind = packed.container(file, source.name)
                if kind:
                    yield from self._members(file, kind, source, start)
                    yield Finished(source.name, None)
                else:
                    yield from self._rows(Input(source.name, content_hash(file), file), file, source)
        except Exception as fault:
            yield Finished(source.name, None, faults=(as_fault(fault, source.name),))
        yield SourceDone(source, self._skipped)

    def _members(self, file: BinaryIO, kind: packed.Container, source: Source, start: int) -> Iterator[Message]:
        for number, (member, open_member) in enumerate(packed.members(file, kind)):
            if number < start:
                continue
            name = posixpath.join(source.name, member.lstrip("/"))
            self._come_to(name, number)
            try:
                with open_member() as stream:
                    copy, sha256 = spool(stream)
                with closing(copy):
                    if packed.container(copy, member):
                        raise NestedArchive("an archive in an archive; unpack it first. 压缩包内还有压缩包，请先解压。")
                    copy.seek(0)
                    yield from self._rows(Input(name, sha256, copy), file, source)
            except (Refused, OSError) as fault:  # the latter of the copy: what is wrong with the archive is `Damaged`
                yield Finished(name, None, faults=(as_fault(fault, name),))
            self._come_to(source.name, None)

    def _come_to(self, name: str, number: int | None) -> None:
        self._place = (name, number)
        self._alive()

    def _alive(self) -> None:
        self._at(*self._place)

    def _rows(self, found: Input, outer: BinaryIO, source: Source) -> Iterator[Message]:
        """An input's rows that are not done. `outer` is the source's file, to tell how far that has been read."""
        try:
            done = self._admit(found.name, found.sha256)
        except Duplicate as fault:
            yield refused_double(found.name, fault.number, source)
            return
        if done is None:
            self._skipped += 1
            yield Skipped(found.name, found.sha256)
            return
        notes, rows = Notes(), 0
        broken: tuple[Fault, ...] = ()
        try:
            for chunk in _chunks(rows_of(found, self._limits.document_characters, notes)):
                fresh = chunk[max(0, done - rows) :]
                rows += len(chunk)
                if fresh:
                    tokens = tuple(self._tokenise([row.text for row in fresh]))
                    yield Chunk(found.name, found.sha256, fresh, tokens, _position(outer))
                else:
                    self._alive()
        except Exception as raised:  # a broken file can raise anything in the libraries that read it
            broken = (as_fault(raised, found.name),)
        faults = (*notes.faults(), *broken)
        yield Finished(found.name, found.sha256, notes.dropped, notes.replaced, faults)


class _Watched(io.RawIOBase):
    """A file of which each read is a sign of life: it is hashed, unpacked or passed over without giving a row."""

    def __init__(self, file: Any, alive: Callable[[], None]) -> None:
        self._file, self._alive = file, alive

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return cast(int, self._file.seek(offset, whence))

    def tell(self) -> int:
        return cast(int, self._file.tell())

    def read(self, size: int = -1) -> bytes:
        self._alive()
        return cast(bytes, self._file.read(size))

    def readinto(self, buffer: Any) -> int:
        self._alive()
        return cast(int, self._file.readinto(buffer))


def _position(file: BinaryIO) -> int:
    return 0 if file.closed else file.tell()


def _chunks(rows: Iterator[Row]) -> Iterator[tuple[Row, ...]]:
    """Rows in chunks. What was read before a fault is not lost: it comes as a chunk, then the fault is raised."""
    chunk: list[Row] = []
    characters = 0
    try:
        for row in rows:
            chunk.append(row)
            characters += len(row.text)
            if len(chunk) >= CHUNK_ROWS or characters >= CHUNK_CHARACTERS:
                yield tuple(chunk)
                chunk, characters = [], 0
    except Exception:
        if chunk:
            yield tuple(chunk)
        raise
    if chunk:
        yield tuple(chunk)


def refused_double(name: str, number: int, source: Source) -> Finished:
    """How an input ends whose name the run has met before: in a line of its own, which tells where it lies."""
    place = source.address + name.removeprefix(source.name)
    reason = (
        f"{place}: another file of this name, with other content, was scored; rename one, or score them into another "
        "folder. 同名而内容不同，请改名或写入另一目录。"
    )
    return Finished(f"{name} #{number}", None, faults=(Fault(Duplicate.code, reason),))


def as_fault(fault: BaseException, name: str) -> Fault:
    """A line for the quarantine report."""
    if isinstance(fault, Refused | DocumentError):
        return Fault(fault.code, str(fault).removeprefix(f"{name}: "))
    if isinstance(fault, MemoryError | RecursionError):
        return Fault("too_large", f"too large or too deeply nested to be read ({fault!r}). 文件过大或嵌套过深。")
    if isinstance(fault, OSError) and fault.errno in _NO_ROOM:
        place = f"{tempfile.gettempdir()} ({fault.strerror})"
        return Fault("no_room", f"no room for a copy in {place}; make room, or set TMPDIR. 临时目录空间不足。")
    return Fault(
        "unreadable", f"its reader failed ({fault!r}); save it again in another form. 无法读取，请另存后再试。"
    )
