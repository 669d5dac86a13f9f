"""Changes on the disk that are whole or not there, whatever cuts them off: a kill, a full disk, a power cut."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


def write_whole(file: Path, content: str | Callable[[IO[bytes]], object]) -> None:
    """Put a text, or what a function writes, in the place of a file's content, on the disk when this returns; readers
    see the old or the new."""
    unfinished = file.with_name(f".{file.name}.unfinished")
    try:
        with unfinished.open("wb") as stream:
            if isinstance(content, str):
                stream.write(content.encode())
            else:
                content(stream)
        sync(unfinished)
        os.replace(unfinished, file)
    except OSError:  # a full disk: what came of it would fill it further
        unfinished.unlink(missing_ok=True)
        raise
    sync(file.parent)


def sync(path: Path) -> None:
    """Have the disk hold a file's content, or a folder's list of names, before anything else is done."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Wait until no other process holds the lock of a folder, which is made. It ends with its process, however that
    ends, so there is never one left behind to remove."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
