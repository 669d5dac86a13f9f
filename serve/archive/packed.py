"""Packed files: .zip and .tar archives, and single files packed with gzip, zstd, bzip2 or xz. By content, not by name.

Nothing is ever unpacked to a place that an archive names: a packed file becomes an unnamed temporary one. So a name
that leads out of the archive could do no harm; it is refused because nobody packs such names in good faith.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Literal, Self, cast

from serve.archive.faults import Bomb, Damaged, Encrypted, Refused, UnsafePath, Unsupported
from serve.archive.inputs import is_hidden

LARGEST_RATIO = 200
"""Unpacked to packed size. Text packs to a third or a twentieth, the most repetitive JSON lines to a hundredth."""

ALWAYS_FINE = 64 * 1024 * 1024
"""Unpacked bytes up to which no ratio is suspicious."""

Container = Literal["zip", "tar"]
Member = tuple[str, Callable[[], BinaryIO]]
"""A packed file's name, and how to open it, which may raise `Refused`. To be opened before the next is asked for."""

_ENDINGS = (".gz", ".zst", ".zstd", ".bz2", ".xz")
_TAR_ENDINGS = (".tar", ".tgz", ".tbz2", ".txz", ".tzst")
_BROKEN = (
    EOFError, OSError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError, ValueError, NotImplementedError
)  # fmt: skip
_NO_HEADER = (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError, tarfile.EmptyHeaderError)  # type: ignore[attr-defined]


class _Guarded(io.RawIOBase):
    """A stream being unpacked that ends in `Bomb` when it grows out of proportion, in `Damaged` when it is broken."""

    def __init__(self, stream: Any, packed: Callable[[], int]) -> None:
        self._stream, self._packed, self._unpacked = stream, packed, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._stream.read(len(buffer))
        except _BROKEN as fault:
            raise Damaged(f"damaged where it is packed ({fault}); pack or fetch it again. 压缩数据已损坏。") from fault
        buffer[: len(data)] = data
        self._unpacked += len(data)
        refuse_bomb(self._unpacked, self._packed())
        return len(data)


def refuse_bomb(unpacked: int, packed: int) -> None:
    """Raise `Bomb` if so many bytes cannot come of so few in good faith."""
    if unpacked > ALWAYS_FINE and unpacked > LARGEST_RATIO * packed:
        raise Bomb(
            f"unpacks to over {LARGEST_RATIO} times its {packed} bytes; if it is sound, unpack it yourself. "
            "解压后体积异常（疑似压缩炸弹）。"
        )


def plain_name(name: str) -> str:
    """A name without the ending of a packed single file: `a.jsonl.gz` → `a.jsonl`."""
    ending = next((ending for ending in _ENDINGS if name.lower().endswith(ending)), "")
    return name.removesuffix(name[len(name) - len(ending) :]) if ending else name


def unpacked(file: BinaryIO) -> BinaryIO:
    """The file as it was before it was packed: itself, at its start, where it is not packed."""
    file.seek(0)
    head = file.read(6)
    file.seek(0)
    stream: Any
    if head.startswith(b"\x1f\x8b"):
        stream = gzip.GzipFile(fileobj=file, mode="rb")
    elif head.startswith(b"\x28\xb5\x2f\xfd"):
        stream = _zstd(file)
    elif head.startswith(b"BZh"):
        stream = bz2.BZ2File(file)
    elif head.startswith(b"\xfd7zXZ\x00"):
        stream = lzma.LZMAFile(file)  # noqa: SIM115
    else:
        return file
    return cast(BinaryIO, io.BufferedReader(_Guarded(stream, file.tell), 1 << 16))


def container(file: BinaryIO, name: str) -> Container | None:
    """What archive a file is, None if it is none. Word documents and e-books are zip files, but no archives."""
    file.seek(0)
    head = file.read(4)
    if head in (b"PK\x03\x04", b"PK\x05\x06"):
        return "zip" if name.lower().endswith(".zip") or not _is_document(file) else None
    if name.lower().endswith(".zip"):
        return "zip"
    if plain_name(name).lower().endswith(_TAR_ENDINGS):
        return "tar"
    try:
        return "tar" if unpacked(file).read(512)[257:262] == b"ustar" else None
    except Refused:
        return None  # its reader will say what is wrong with it


def members(file: BinaryIO, kind: Container) -> Iterator[Member]:
    """The files of an archive in its order.

    Raises:
        Refused: the archive cannot be read, or not to its end.
    """
    file.seek(0)
    try:
        yield from _zip_members(file) if kind == "zip" else _tar_members(file)
    except _BROKEN as fault:
        raise Damaged(f"no whole archive ({fault}); pack or fetch it again. 压缩包已损坏。") from fault


def _zip_members(file: BinaryIO) -> Iterator[Member]:
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        sound = sum(e.file_size for e in entries if not _suspicious(e))
        refuse_bomb(sound, file.seek(0, io.SEEK_END))
        for entry in entries:
            name = _zip_name(entry)
            if not entry.is_dir() and not is_hidden(name):
                yield name, lambda entry=entry, name=name: _open_entry(archive, entry, name)  # type: ignore[misc]


def _suspicious(entry: zipfile.ZipInfo) -> bool:
    return entry.file_size > ALWAYS_FINE and entry.file_size > LARGEST_RATIO * entry.compress_size


def _open_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str) -> BinaryIO:
    _refuse_unsafe(name, is_link=stat.S_ISLNK(entry.external_attr >> 16))
    if entry.flag_bits & 1:
        raise Encrypted("encrypted; pack it again without a password. 压缩包已加密，请去除密码。")
    refuse_bomb(entry.file_size, entry.compress_size)
    try:
        stream = archive.open(entry)
    except NotImplementedError as fault:
        raise Unsupported(
            f"packed in a way that cannot be read ({fault}); pack it again. 不支持的压缩方式。"
        ) from fault
    except _BROKEN as fault:
        raise Damaged(f"damaged in its archive ({fault}); pack or fetch it again. 压缩数据已损坏。") from fault
    return cast(BinaryIO, io.BufferedReader(_Guarded(stream, lambda: entry.compress_size), 1 << 16))


def _zip_name(entry: zipfile.ZipInfo) -> str:
    """A member's name: UTF-8 where it says so, else bytes that the format takes for code page 437."""
    if entry.flag_bits & 0x800:
        return entry.filename
    try:
        return _name(entry.filename.encode("cp437"))
    except UnicodeEncodeError:
        return entry.filename


def _name(raw: bytes) -> str:
    """A name whose encoding nothing tells: UTF-8, else GB18030, as Chinese systems wrote it."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("gb18030", "replace")


class _TarEntry(tarfile.TarInfo):
    """An entry whose header must be whole: behind the first, `tarfile` takes a broken or missing one for the end of the
    archive, which is a block of zeros."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(archive)
        except _NO_HEADER as fault:
            raise tarfile.ReadError(f"{fault} at byte {archive.offset}, where a file or the end should be") from fault


def _tar_members(file: BinaryIO) -> Iterator[Member]:
    archive = tarfile.open(  # noqa: SIM115
        fileobj=unpacked(file), mode="r|", tarinfo=_TarEntry, encoding="utf-8", errors="surrogateescape"
    )
    with archive:
        for entry in archive:
            archive.members = []  # type: ignore[attr-defined]  # it would keep all that it has met
            name = _name(entry.name.encode("utf-8", "surrogateescape"))
            if not entry.isdir() and not is_hidden(name):
                yield name, lambda entry=entry, name=name: _open_tar_entry(archive, entry, name)  # type: ignore[misc]


def _open_tar_entry(archive: tarfile.TarFile, entry: tarfile.TarInfo, name: str) -> BinaryIO:
    _refuse_unsafe(name, is_link=not entry.isreg())
    stream = archive.extractfile(entry)
    assert stream is not None  # as it is a regular file
    return cast(BinaryIO, io.BufferedReader(_Guarded(stream, lambda: entry.size), 1 << 16))


def _refuse_unsafe(name: str, is_link: bool) -> None:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if ".." in parts or name.startswith(("/", "\\")) or (parts and parts[0].endswith(":")):
        raise UnsafePath("its name leads out of the archive; pack it again. 文件名指向压缩包之外。")
    if is_link:
        raise UnsafePath("a link or a device, not a file; pack what it points to. 是链接或设备文件，而不是文件。")


def _is_document(file: BinaryIO) -> bool:
    try:
        with zipfile.ZipFile(file) as package:
            return bool({"[Content_Types].xml", "mimetype"} & set(package.namelist()))
    except _BROKEN:
        return True  # a document's reader will say what is wrong with it
    finally:
        file.seek(0)


def _zstd(file: BinaryIO) -> Any:
    import pyarrow as pa

    return pa.CompressedInputStream(pa.PythonFile(_Borrowed(file), "r"), "zstd")


class _Borrowed(io.RawIOBase):
    """A file that pyarrow, which closes what it has read, may close without harm."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)
