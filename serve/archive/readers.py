"""Reader processes: sources are read beside the model, and a file that crashes or stalls its reader stops nothing.

A process of its own costs the model less than a thread would: Python's lock, held by cleaning, keeps the model's next
batch waiting.
"""

from __future__ import annotations

import logging
import os
import pickle
import queue
import sys
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Self

from configs.settings import ArchiveSettings
from policy_topics.bundle import load_bundle
from policy_topics.tokeniser import Tokeniser
from serve.archive.faults import Duplicate, Fault
from serve.archive.inputs import Source
from serve.archive.reading import CHUNK_CHARACTERS, Admit, Chunk, Finished, Message, Reader, SourceDone
from serve.child import READY, Child, Died, Silent

QUEUED = 96
"""Chunks that wait for the model: a pool and a half of it, as a rule. One of long texts counts as several."""

SIGNS = 4
"""Signs of life in the time after which a reader counts as stalled: often enough, and no work to read."""


@dataclass(frozen=True, slots=True)
class _Task:
    source: Source
    start: int


@dataclass(frozen=True, slots=True)
class _Question:
    """A reader asks how much of an input is done."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class _At:
    """A reader is alive, and at this place; see `At`."""

    name: str
    number: int | None


class _Ended(Exception):
    """The reader has died, or says nothing any more."""


class _Waiting(queue.Queue[Message | BaseException | None]):
    """A queue that is full by its messages' weight, so that long texts in it fit into memory."""

    def _init(self, maxsize: int) -> None:
        super()._init(maxsize)
        self._held = 0

    def _qsize(self) -> int:
        return self._held

    def _put(self, item: Message | BaseException | None) -> None:
        super()._put(item)
        self._held += _weight(item)

    def _get(self) -> Message | BaseException | None:
        item = super()._get()
        self._held -= _weight(item)
        return item


def _weight(message: Message | BaseException | None) -> int:
    """1 for whatever is no larger than a usual chunk."""
    characters = sum(len(row.text) for row in message.rows) if isinstance(message, Chunk) else 0
    return max(1, characters // CHUNK_CHARACTERS)


class Readers:
    """Reads sources in several processes. Messages of one source come in order, those of several interleave.

    Args:
        admit: asked for each input; see `Output.admit`. Called from several threads.
    """

    def __init__(
        self,
        sources: Iterator[Source],
        admit: Admit,
        bundle: Path,
        limits: ArchiveSettings,
        count: int,
    ) -> None:
        self._sources = sources
        self._next = threading.Lock()
        self._admit = admit
        self._messages = _Waiting(QUEUED)
        self._closed = threading.Event()
        self._readers = [IsolatedReader(bundle, limits) for _ in range(count)]
        self._threads = [threading.Thread(target=self._work, args=[each], daemon=True) for each in self._readers]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, traceback: TracebackType | None) -> None:
        self._closed.set()
        while any(thread.is_alive() for thread in self._threads):
            for reader in self._readers:  # over and over: one may have been about to start its process
                reader.kill()
            try:  # one may be waiting to hand over a message that nobody wants any more
                self._messages.get(timeout=0.05)
            except queue.Empty:
                continue

    def get(self, wait: bool) -> Message | None:
        """The next message; None when all has been read.

        Raises:
            queue.Empty: there is none yet, and `wait` is false.
        """
        while any(thread.is_alive() for thread in self._threads) or not self._messages.empty():
            try:
                message = self._messages.get(block=wait, timeout=0.2 if wait else None)
            except queue.Empty:
                if not wait:
                    raise
                continue
            if isinstance(message, BaseException):
                raise message
            if message is not None:
                return message
        return None

    def _work(self, reader: IsolatedReader) -> None:
        """One thread looks after one reader process at a time."""
        try:
            while not self._closed.is_set():
                with self._next:
                    source = next(self._sources, None)
                if source is None:
                    break
                with closing(reader.read(source, self._admit)) as messages:
                    for message in messages:
                        self._put(message)
                        if self._closed.is_set():
                            break
        except BaseException as fault:
            self._put(fault)
        finally:
            reader.stop()
            self._put(None)  # wakes up whoever waits

    def _put(self, message: Message | BaseException | None) -> None:
        while not self._closed.is_set():
            try:
                return self._messages.put(message, timeout=0.2)
            except queue.Full:
                continue


class IsolatedReader:
    """Reads one source at a time, in a process that lasts until a file kills it.

    Not for several threads at once, but for `kill`.
    """

    def __init__(self, bundle: Path, limits: ArchiveSettings) -> None:
        self._bundle = bundle
        self._limits = limits
        self._process: _Process | None = None

    def read(self, source: Source, admit: Admit) -> Generator[Message]:
        """Everything in a source. A file that crashes or stalls the process is named; a new one goes on behind it."""
        start, done = 0, False
        try:
            while not done:
                at = _At(source.name, None)
                if not self._process:
                    self._process = _Process(self._bundle, self._limits)
                    self._process.ready()
                process = self._process
                try:
                    process.send(_Task(source, start))
                    while not done:
                        message = process.receive(self._limits.timeout_seconds)
                        if isinstance(message, _At):
                            at = message
                        elif isinstance(message, _Question):
                            process.send(_answer(message, admit))
                        else:
                            done = isinstance(message, SourceDone)
                            yield message
                except _Ended as fault:
                    self.stop()
                    yield Finished(at.name, None, faults=(Fault(*fault.args),))
                    if at.number is None:  # there is nothing behind it, or no way to get there
                        done = True
                        yield SourceDone(source, 0)
                    else:
                        start = at.number + 1
        finally:
            if not done:  # the process is in the midst of a source that nobody wants any more
                self.stop()

    def kill(self) -> None:
        """End the process; whoever waits for it learns that it died. It must be stopped still."""
        if process := self._process:
            process.kill()

    def stop(self) -> None:
        if self._process:
            self._process.stop()
            self._process = None


def _answer(question: _Question, admit: Admit) -> int | Duplicate | None:
    try:
        return admit(question.name, question.sha256)
    except Duplicate as fault:
        return fault


class _Process:
    """A reader process."""

    def __init__(self, bundle: Path, limits: ArchiveSettings) -> None:
        self._child = Child(__name__, str(bundle), limits.model_dump_json())
        self.ready, self.kill, self.stop = self._child.ready, self._child.kill, self._child.stop

    def send(self, message: object) -> None:
        try:
            self._child.send(pickle.dumps(message))
        except Died as fault:
            raise _crashed(fault) from fault

    def receive(self, seconds: float) -> Message | _Question | _At:
        """The next message.

        Raises:
            _Ended: there was none for so long, or the process died.
        """
        try:
            message: Message | _Question | _At = pickle.loads(self._child.receive(seconds))
            return message
        except Silent as fault:
            reason = f"nothing came of it for {seconds} s (archive.timeout_seconds); split it. 读取超时。"
            raise _Ended("timed_out", reason) from fault
        except Died as fault:
            raise _crashed(fault) from fault


def _crashed(fault: Died) -> _Ended:
    return _Ended("crashed", f"its reader crashed ({fault}); save it again in another form. 读取进程崩溃。")


def _main(descriptor: int, bundle: Path, limits: ArchiveSettings) -> None:
    """A reader process: sources come in, messages go out, until the other end is closed."""
    logging.lastResort = None  # what libraries remark on a file goes into the report or nowhere, not into the bar
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # one core for each reader: the others are the model's
    connection = Connection(descriptor)
    tokenise = Tokeniser(load_bundle(bundle)).tokenise
    connection.send_bytes(READY)

    told, told_at = _At("", None), 0.0

    def at(name: str, number: int | None) -> None:
        nonlocal told, told_at
        place, now = _At(name, number), time.monotonic()
        if place != told or now - told_at >= limits.timeout_seconds / SIGNS:
            connection.send(place)
            told, told_at = place, now

    def admit(name: str, sha256: str) -> int | None:
        connection.send(_Question(name, sha256))
        answer: int | Duplicate | None = connection.recv()
        if isinstance(answer, Duplicate):
            raise answer
        return answer

    reader = Reader(admit, tokenise, limits, at)
    try:
        while True:
            task: _Task = connection.recv()
            for message in reader.read(task.source, task.start):
                connection.send(message)
    except (EOFError, OSError):
        os._exit(0)  # the run is over


if __name__ == "__main__":
    from serve.archive import readers  # so that messages are of the module's classes, and not of __main__'s

    readers._main(int(sys.argv[1]), Path(sys.argv[2]), ArchiveSettings.model_validate_json(sys.argv[3]))
