"""Uploaded files to texts, in processes with bounded memory and time: no file can harm the server or other requests.

A few processes are kept warm, since one takes a second to start. One that fails is replaced, and so is one that has
read many files: what their readers do not give back goes with it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from configs.settings import ServeSettings
from policy_topics.documents import Document
from policy_topics.errors import DocumentError, UnsupportedDocument
from serve.child import Child, Died, Silent
from serve.problems import Problem, too_long
from serve.uploads.reader import OUT_OF_MEMORY

READERS = 2
"""Files that are read at once: reading is a small part of the work, and the cores belong to the model."""

MOST_WAITING = 16
"""Files that wait for a process, each in memory; over that a request gets 429."""

FILES = 500
"""Files that one process reads."""

_Answer = tuple[dict[str, Any], str, list[str]]
"""What a process says of a file, its text, and the lines that were left out of that."""

_HEAD_BYTES = 65536
_MOST_UTF8 = 4

log = logging.getLogger("policy_topics.serve")


class _Reader:
    """One process, for files one after another."""

    def __init__(self, limits: ServeSettings) -> None:
        self._limits = limits
        bounds = limits.max_document_characters, limits.upload_memory_bytes, limits.upload_seconds
        self.child = Child("serve.uploads.reader", *map(str, bounds))
        self._files = 0
        self.spent = False
        """Whether it reads no more files, and has ended."""

    def ask(self, data: bytes, name: str) -> _Answer:
        """What the process answers to a file. Blocks, so it is called in a thread.

        Raises:
            Died, Silent: the file was too much for it.
        """
        seconds, most = self._limits.upload_seconds, self._limits.max_document_characters * _MOST_UTF8
        self.spent = True
        try:
            if not self._files:
                self.child.ready()
            self.child.send(name.encode("utf-8", "replace"))
            self.child.send(data)
            head = json.loads(self.child.receive(seconds, _HEAD_BYTES))
            text, dropped = (self.child.receive(seconds, most).decode("utf-8", "surrogatepass") for _ in range(2))
            self._files += 1
            self.spent = self._files == FILES
            return head, text, dropped.split("\n") if dropped else []
        finally:
            if self.spent:
                self.child.stop()


class Uploads:
    """Reads uploaded files. For one event loop; what blocks is done in threads."""

    def __init__(self, limits: ServeSettings) -> None:
        self._limits = limits
        self._threads = ThreadPoolExecutor(READERS, "uploads")
        self._slots = asyncio.Semaphore(READERS)
        self._idle: list[_Reader] = []
        self._waiting = 0
        self._closed = False

    def start(self) -> None:
        """Start the first process; another is started when it is needed."""
        self._idle.append(_Reader(self._limits))

    def close(self) -> None:
        """End the processes."""
        self._closed = True
        while self._idle:
            self._idle.pop().child.stop()
        self._threads.shutdown(wait=False)

    def check(self) -> None:
        """Raise the problem `busy` if too many files wait: a request with another need not be received."""
        if self._waiting >= MOST_WAITING:
            raise Problem(
                "busy",
                "Too many uploaded files wait to be read; send the request again after `Retry-After`.",
                "等待读取的上传文件过多，请按 Retry-After 稍后重试。",
                headers={"Retry-After": str(self._limits.retry_after_seconds)},
            )

    async def read(self, data: bytes, name: str) -> Document:
        """The document in a file.

        Raises:
            Problem: there is none that can be read within the limits, or too many files wait.
        """
        self.check()
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        try:
            head, text, dropped = await self._asked(data, name)
        except Silent:
            seconds = self._limits.upload_seconds
            log.warning("an uploaded file was not read within %d s", seconds)
            raise _unreadable(
                name,
                f"it could not be read within {seconds} s (serve.upload_seconds); split it",
                f"{seconds} 秒内未能读完（serve.upload_seconds），请拆分",
            ) from None
        except Died as fault:
            log.warning("an uploaded file ended the process that read it: %s", fault)
            raise _died(name, fault, self._limits) from None
        if head["outcome"] != "read":
            raise _refused(head, name, self._limits)
        return Document(name, text, head["media_type"], head["encoding"], tuple(head["remarks"]), tuple(dropped))

    async def _asked(self, data: bytes, name: str) -> _Answer:
        """Ask a process, with a slot, which is free again when the process is or has been replaced."""
        try:
            reader = self._free()
            asked = asyncio.get_running_loop().run_in_executor(self._threads, reader.ask, data, name)
        except BaseException:
            self._slots.release()
            raise
        asked.add_done_callback(partial(self._done, reader))
        try:
            return await asyncio.shield(asked)
        except asyncio.CancelledError:
            if not asked.done():
                reader.child.kill()  # nobody waits for it any more
            raise

    def _free(self) -> _Reader:
        while self._idle:
            reader = self._idle.pop()
            if reader.child.alive:
                return reader
            reader.child.stop()
        return _Reader(self._limits)

    def _done(self, reader: _Reader, asked: asyncio.Future[_Answer]) -> None:
        asked.exception()  # whoever asked has it, or has left
        self._slots.release()
        if self._closed:
            reader.child.stop()
        else:
            self._idle.append(_Reader(self._limits) if reader.spent else reader)


def _died(name: str, fault: Died, limits: ServeSettings) -> Problem:
    """The problem of a file that ended its process."""
    if fault.code == OUT_OF_MEMORY:
        most = limits.upload_memory_bytes
        return _unreadable(
            name,
            f"it takes more than {most} bytes of memory to be read (serve.upload_memory_bytes); split it",
            f"读取所需内存超过 {most} 字节（serve.upload_memory_bytes），请拆分",
        )
    return _unreadable(
        name,
        f"its reader crashed ({fault}); save it again in another form",
        f"读取进程崩溃（{fault}），请另存后再试",
    )


def _refused(head: dict[str, Any], name: str, limits: ServeSettings) -> Problem:
    """The problem of a file of which the process says that it cannot be read."""
    match head["outcome"]:
        case "too_long":
            return too_long(head["characters"], limits.max_document_characters)
        case UnsupportedDocument.code:
            return Problem("unsupported_type", head["reason"], f"不支持此文件类型：{head['reason']}")
        case DocumentError.code:
            return Problem("unreadable_document", head["reason"], f"无法读取此文档：{head['reason']}")
        case _:
            log.warning("the reader of an uploaded file failed: %s", head["reason"])
            return _unreadable(
                name, f"its reader failed ({head['reason']}); save it again in another form", "无法读取，请另存后再试"
            )


def _unreadable(name: str, reason: str, reason_zh: str) -> Problem:
    return Problem("unreadable_document", f"{name}: {reason}.", f"无法读取此文档：{name}：{reason_zh}。")
