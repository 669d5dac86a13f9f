"""The process that reads uploaded files: bytes come in, their text goes out, one file after another.

    → name, data    (two messages)
    ← head, text, dropped    (a JSON object {"outcome", …}, and UTF-8, of `dropped` a line each)

What is passed is bytes and JSON and no pickle, so that a file that takes this process over has not got the server.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import resource
import signal
import sys
from multiprocessing.connection import Connection

from policy_topics.documents import read_document
from policy_topics.errors import DocumentError
from serve.child import READY

OUT_OF_MEMORY = 3
"""Exit code. There may be too little left even to say so otherwise."""

_NO_MEMORY = 2
"""`XML_ERR_NO_MEMORY` of libxml2, which has no exception of its own in lxml."""

_READERS = ("docx", "lxml.html", "pypdfium2", "trafilatura")
"""What `read_document` imports when it needs it: here before there is a file, whose time and memory it is not."""


def main(descriptor: int, most_characters: int, memory_bytes: int, seconds: int) -> None:
    """Read files until the other end is closed."""
    logging.lastResort = None  # what libraries remark on a file may have its name or its text in it
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the server, which hears it too, finishes first, and ends this one
    connection = Connection(descriptor)
    for module in _READERS:
        importlib.import_module(module)
    _bound_memory(memory_bytes)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a user's text is not left on the disk
    connection.send_bytes(READY)
    try:
        while True:
            name, data = connection.recv_bytes().decode(), connection.recv_bytes()
            _bound_time(seconds)
            for part in _read(data, name, most_characters):
                connection.send_bytes(part)
    except (EOFError, OSError):
        os._exit(0)  # the server is gone, or has done with this process
    except MemoryError:
        os._exit(OUT_OF_MEMORY)


def _read(data: bytes, name: str, most_characters: int) -> tuple[bytes, bytes, bytes]:
    try:
        document = read_document(data, name)
    except Exception as fault:  # a broken file can raise anything in the libraries that read it
        if isinstance(fault, MemoryError) or getattr(fault.__cause__ or fault, "code", None) == _NO_MEMORY:
            raise MemoryError from None
        if isinstance(fault, DocumentError):
            return _head(fault.code, reason=str(fault)), b"", b""
        return _head("failed", reason=type(fault).__name__), b"", b""  # its message may have the text in it
    dropped = "\n".join(document.dropped)
    characters = len(document.text) + len(dropped)
    if characters > most_characters:
        return _head("too_long", characters=characters), b"", b""
    head = _head("read", media_type=document.media_type, encoding=document.encoding, remarks=document.remarks)
    return head, document.text.encode("utf-8", "surrogatepass"), dropped.encode("utf-8", "surrogatepass")


def _head(outcome: str, **more: object) -> bytes:
    return json.dumps({"outcome": outcome, **more}).encode()


def _bound_memory(more: int) -> None:
    """So much beyond what this process has already. macOS knows the limit and does not keep to it."""
    if sys.platform == "linux":
        with open("/proc/self/statm") as file:
            now = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + more, now + more))


def _bound_time(seconds: int) -> None:
    """So many seconds more of a processor: an end even where the server is gone and cannot put one."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    wanted = int(used.ru_utime + used.ru_stime) + seconds + 1
    resource.setrlimit(resource.RLIMIT_CPU, (wanted if most == resource.RLIM_INFINITY else min(wanted, most), most))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
