"""What there is to read: files, folders and globs of this machine, and whatever addresses fsspec has a file system for.

Listing is lazy and sorted by folder, so that a million files cost no memory and two runs meet them in the same order.
Files whose names begin with a dot are nobody's documents and are not listed.
"""

from __future__ import annotations

import glob
import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from policy_topics.errors import PolicyTopicsError
from serve.archive.faults import Unreachable

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
    """

    address: str
    name: str
    size: int


def list_sources(addresses: Sequence[str], leave_out: Path) -> Iterator[Source]:
    """Every file that the addresses come to, without those in the folder `leave_out`.

    Raises:
        InputError: an address that comes to nothing.
    """
    for address in addresses:
        yield from _remote(address) if "://" in address else _local(address, leave_out.absolute())


def fetch(source: Source) -> BinaryIO:
    """The file, open at its start and seekable: itself if it is of this machine, else a temporary copy.

    Raises:
        Unreachable: it cannot be opened.
    """
    try:
        if "://" not in source.address:
            return open(source.address, "rb")
        import fsspec

        with fsspec.open(source.address, "rb") as stream:
            return spool(cast(BinaryIO, stream))[0]
    except Exception as fault:  # whatever the file system's library raises
        reason = fault.strerror if isinstance(fault, OSError) and fault.strerror else str(fault) or repr(fault)
        raise Unreachable(f"cannot be opened: {reason}. 无法打开。") from fault


def spool(stream: BinaryIO) -> tuple[BinaryIO, str]:
    """A seekable temporary copy, at its start, and its sha256 in hex."""
    copy = cast(BinaryIO, tempfile.SpooledTemporaryFile(IN_MEMORY))  # noqa: SIM115
    digest = hashlib.sha256()
    while block := stream.read(_BLOCK):
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


def _local(address: str, leave_out: Path) -> Iterator[Source]:
    path = Path(address)
    if path.is_dir():
        yield from _walk(path, path.absolute().name, leave_out)
    elif os.path.lexists(path):
        yield _file(path, path.name)
    else:
        yield from _matches(address, leave_out)


def _matches(pattern: str, leave_out: Path) -> Iterator[Source]:
    matches = sorted(glob.iglob(pattern, recursive=True))
    if not matches:
        raise InputError(f"{pattern}: nothing is there; check the path. 路径不存在或没有匹配的文件。")
    parts = Path(pattern).parts
    plain = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    base = Path(*parts[:plain]).absolute()
    for match in map(Path, matches):
        name = f"{base.name}/{match.absolute().relative_to(base).as_posix()}"
        if not match.is_dir():
            yield _file(match, name)
        elif "**" not in pattern:  # which matches what is in the folder as well
            yield from _walk(match, name, leave_out)


def _walk(folder: Path, name: str, leave_out: Path) -> Iterator[Source]:
    for place, folders, files in os.walk(folder):
        inside = Path(place).relative_to(folder).as_posix()
        prefix = _shown(name if inside == "." else f"{name}/{inside}")
        folders[:] = sorted(f for f in folders if not is_hidden(f) and Path(place, f).absolute() != leave_out)
        # A link to a folder is not followed, for it may lead in a circle; opening it as a file names it as unread.
        linked = [f for f in folders if Path(place, f).is_symlink()]
        for file in sorted([*files, *linked]):
            if not is_hidden(file):
                yield _file(Path(place, file), f"{prefix}/{_shown(file)}")


def _file(path: Path, name: str) -> Source:
    try:
        return Source(str(path), _shown(name), path.stat().st_size)
    except OSError:
        return Source(str(path), _shown(name), 0)


def _shown(name: str) -> str:
    """A file's name as text: bytes in it that are no UTF-8 are read as GB18030, as Chinese systems wrote them."""
    try:
        name.encode()
        return name
    except UnicodeEncodeError:
        return os.fsencode(name).decode("gb18030", "replace")


def _remote(address: str) -> Iterator[Source]:
    import fsspec

    entries: Iterator[dict[str, Any]]
    try:
        fs, path = fsspec.core.url_to_fs(address)
        if glob.has_magic(address) and not fs.exists(path):
            found = fs.glob(path, detail=True)
            parts = path.split("/")
            base = "/".join(parts[: next(n for n, part in enumerate(parts) if glob.has_magic(part))])
            entries = (entry for _, entry in sorted(found.items()))
        elif fs.isdir(path):
            base, entries = path.rstrip("/"), _remote_walk(fs, path)
        else:
            info = fs.info(path)
            base, entries = path.rpartition("/")[0], iter([info])
    except (OSError, ImportError, ValueError) as fault:
        raise InputError(f"{address}: {fault or 'nothing is there'}. 地址无法访问。") from fault
    nothing = True
    for entry in entries:
        inside = entry["name"][len(base) :].lstrip("/")
        if entry["type"] == "file" and not is_hidden(inside):
            nothing = False
            root = base.rpartition("/")[2]
            name = inside if entry["name"] == path or not root else f"{root}/{inside}"
            yield Source(fs.unstrip_protocol(entry["name"]), name, entry.get("size") or 0)
    if nothing:
        raise InputError(f"{address}: nothing is there; check the address. 地址下没有文件。")


def _remote_walk(fs: Any, path: str) -> Iterator[dict[str, Any]]:
    for _, folders, files in fs.walk(path, detail=True):
        for name in [name for name in folders if is_hidden(name)]:
            del folders[name]
        yield from (entry for _, entry in sorted(files.items()))
