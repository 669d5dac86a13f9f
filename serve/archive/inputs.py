"""What there is to read: files, folders and globs of this machine, and whatever addresses fsspec has a file system for.

Listing is lazy and sorted by folder, so that a million files cost no memory and two runs meet them in the same order.
Files whose names begin with a dot are nobody's documents and are not listed.
"""

from __future__ import annotations

import glob
import hashlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from policy_topics.errors import PolicyTopicsError
from serve.archive import globs
from serve.archive.faults import Unreachable
from serve.archive.globs import Pattern

IN_MEMORY = 16 * 1024 * 1024
"""Bytes of a fetched or unpacked file that are kept in memory; a larger one goes to a temporary file."""

_BLOCK = 1024 * 1024


class InputError(PolicyTopicsError):
    """Something named on the command line that is not there."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file to be read, which may be an archive of more.

    Attributes:
        address: path, or address for fsspec.
        name: what it is called in the output: its path from the folder that was named, that folder's name included.
        size: in bytes; 0 where the file system does not say.
        unlisted: why a folder cannot be listed, which is then no file; empty for a file.
    """

    address: str
    name: str
    size: int
    unlisted: str = ""


@dataclass(frozen=True, slots=True)
class _Entry:
    """What a folder holds; a link has the size and the kind of what it leads to."""

    name: str
    path: str
    size: int
    is_folder: bool
    is_link: bool


def list_sources(addresses: Sequence[str], leave_out: Path) -> Iterator[Source]:
    """Every file that the addresses come to, without those in `leave_out`, however one gets there.

    Raises:
        InputError: an address that comes to nothing, or all of them to nothing but what is in `leave_out`.
    """
    disk = _Disk(leave_out)
    nothing = True
    for address in addresses:
        for source in _remote(address, disk) if "://" in address else _local(address, disk):
            nothing = False
            yield source
    if nothing and disk.is_named:
        raise InputError(
            f"{leave_out}: is written to, and all that was named lies in it; write to another place. "
            "输入都在输出位置之内，请换一个输出位置。"
        )


def fetch(source: Source, alive: Callable[[], object] = lambda: None) -> BinaryIO:
    """The file, open at its start and seekable: itself if it is of this machine, else a temporary copy.

    `alive` is called over and over while it is copied, which can take long.

    Raises:
        Unreachable: it cannot be opened, or is a folder that cannot be listed.
    """
    if source.unlisted:
        raise Unreachable(
            f"a folder that cannot be listed: {source.unlisted}; see to its permissions. 文件夹无法列出，请检查权限。"
        )
    try:
        if "://" not in source.address:
            return open(source.address, "rb")
        import fsspec

        with fsspec.open(source.address, "rb") as stream:
            return spool(cast(BinaryIO, stream), alive)[0]
    except IsADirectoryError as fault:
        raise Unreachable(
            "a link to a folder, which is not followed; name it itself. 是指向文件夹的链接，请直接指定它。"
        ) from fault
    except Exception as fault:  # whatever the file system's library raises
        raise Unreachable(f"cannot be opened: {_reason(fault)}. 无法打开。") from fault


def spool(stream: BinaryIO, alive: Callable[[], object] = lambda: None) -> tuple[BinaryIO, str]:
    """A seekable temporary copy, at its start, and its sha256 in hex. `alive` is called at each megabyte."""
    copy = cast(BinaryIO, tempfile.SpooledTemporaryFile(IN_MEMORY))  # noqa: SIM115
    digest = hashlib.sha256()
    while block := stream.read(_BLOCK):
        alive()
        digest.update(block)
        copy.write(block)
    copy.seek(0)
    return copy, digest.hexdigest()


def content_hash(file: BinaryIO) -> str:
    """sha256 in hex of a whole file, which is put back at its start."""
    file.seek(0)
    digest = hashlib.file_digest(cast(Any, file), "sha256")
    file.seek(0)
    return digest.hexdigest()


def is_hidden(name: str) -> bool:
    """Whether a path within a folder or an archive is the system's own, such as `.DS_Store` or `__MACOSX/…`."""
    return any(
        part == "__MACOSX" or (part.startswith(".") and part != "." and not part.startswith(".."))
        for part in name.split("/")
    )


class _Disk:
    """Files of this machine, without those in the folder that is written to.

    Attributes:
        is_named: whether an address is of that folder, or lies in it.
    """

    def __init__(self, leave_out: Path) -> None:
        self._leave_out = os.path.realpath(leave_out)
        self.is_named = False

    def leaves_out(self, real: str) -> bool:
        """Whether a path, in which no link is left, is the folder that is written to, or lies in it."""
        return real == self._leave_out or real.startswith(self._leave_out.rstrip("/") + "/")

    def entries(self, folder: str) -> list[_Entry]:
        real = os.path.realpath(folder)
        with os.scandir(folder) as found:
            entries = [_entry(each) for each in sorted(found, key=lambda each: each.name)]
        return [
            each
            for each in entries
            if not self.leaves_out(os.path.realpath(each.path) if each.is_link else os.path.join(real, each.name))
        ]

    def address(self, path: str) -> str:
        return path


class _Remote:
    """Files of a file system of fsspec."""

    def __init__(self, fs: Any) -> None:
        self._fs = fs

    def entries(self, folder: str) -> list[_Entry]:
        # One folder at a time, for walking on into the next it forgets what to do where one cannot be listed.
        ((_, folders, files),) = self._fs.walk(folder, maxdepth=1, detail=True, on_error="raise")
        return [
            _Entry(name, found["name"].rstrip("/"), found.get("size") or 0, found["type"] == "directory", False)
            for name, found in sorted({**files, **folders}.items())
            if name and found["type"] in ("file", "directory")
        ]

    def address(self, path: str) -> str:
        return str(self._fs.unstrip_protocol(path))


def _local(address: str, disk: _Disk) -> Iterator[Source]:
    path, pattern = Path(address), Pattern()
    if not os.path.lexists(path):
        plain, pattern = globs.split(path.parts)
        path = Path(*plain)
        # As for a shell, a slash at the end wants folders, with all that is in them.
        pattern += ("**",) if address.endswith("/") else ()
    if disk.leaves_out(os.path.realpath(path)):
        disk.is_named = True
    elif os.path.isdir(path):
        sources = _walk(disk, str(path), f"{_shown(path.absolute().name)}/", pattern)
        yield from _some(sources, address) if pattern else sources
    else:
        is_file = os.path.lexists(path) and not pattern
        yield from _some([Source(str(path), _shown(path.name), _size(path))] if is_file else [], address)


def _remote(address: str, disk: _Disk) -> Iterator[Source]:
    import fsspec
    from fsspec.implementations.local import LocalFileSystem

    try:
        fs, path = fsspec.core.url_to_fs(address)
        looked = None if isinstance(fs, LocalFileSystem) else _found(fs, path)
    except Exception as fault:  # whatever the file system's library raises
        raise InputError(f"{address}: {_reason(fault)}. 地址无法访问。") from fault
    if looked is None:
        yield from _local(path, disk)
        return
    base, pattern, found = looked
    name = base.rstrip("/").rpartition("/")[2]
    if found is None:
        sources = _walk(_Remote(fs), base, f"{name}/" if name else "", pattern)
    else:
        is_file = found["type"] == "file" and not pattern
        source = Source(fs.unstrip_protocol(found["name"]), name, found.get("size") or 0)
        sources = iter([source] if is_file else [])
    yield from _some(sources, address)


def _found(fs: Any, path: str) -> tuple[str, Pattern, dict[str, Any] | None]:
    """Path and pattern that a remote address comes to, and what is there; None for a folder."""
    base, pattern = path, Pattern()
    if glob.has_magic(path) and not fs.exists(path):
        plain, pattern = globs.split(path.split("/"))
        base = "/".join(plain)
    return base, pattern, None if not base or fs.isdir(base) else fs.info(base)


def _some(sources: Iterable[Source], address: str) -> Iterator[Source]:
    """Sources, of which there must be one."""
    nothing = True
    for source in sources:
        nothing = False
        yield source
    if nothing:
        raise InputError(f"{address}: nothing is there; check the path. 路径不存在或没有匹配的文件。")


def _walk(files: _Disk | _Remote, folder: str, prefix: str, pattern: Pattern = ()) -> Iterator[Source]:
    """What is in a folder, named with a prefix; with a pattern, what that matches, and all in the folders it matches.

    A folder that cannot be listed is a source as well: reading it puts it into the quarantine.
    """
    waiting = [(folder, prefix, {pattern})]
    while waiting:
        place, prefix, patterns = waiting.pop()
        patterns = globs.within(patterns)
        try:
            entries = files.entries(place)
        except Exception as fault:  # whatever the file system's library raises
            yield Source(files.address(place), prefix.rstrip("/") or place, 0, _reason(fault))
            continue
        folders = []
        for entry in entries:
            name = prefix + _shown(entry.name)
            left = globs.behind(entry.name, is_hidden(entry.name), patterns)
            # A link to a folder may lead in a circle: only a part of a pattern that stands for one folder follows it.
            # Elsewhere it is a source, and opening it as a file names it as unread.
            is_followed = not entry.is_link or globs.one_by_one(patterns)
            if left and entry.is_folder and is_followed:
                folders.append((entry.path, f"{name}/", left))
            elif () in left or (left and entry.is_folder):
                yield Source(files.address(entry.path), name, entry.size)
        waiting.extend(reversed(folders))


def _entry(found: os.DirEntry[str]) -> _Entry:
    try:
        status = found.stat()
    except OSError:  # a link that leads nowhere, or not for us
        return _Entry(found.name, found.path, 0, False, found.is_symlink())
    return _Entry(found.name, found.path, status.st_size, stat.S_ISDIR(status.st_mode), found.is_symlink())


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _reason(fault: Exception) -> str:
    return fault.strerror if isinstance(fault, OSError) and fault.strerror else str(fault) or repr(fault)


def _shown(name: str) -> str:
    """A file's name as text: bytes in it that are no UTF-8 are read as GB18030, as Chinese systems wrote them."""
    try:
        name.encode()
        return name
    except UnicodeEncodeError:
        return os.fsencode(name).decode("gb18030", "replace")
