"""Reader processes: a file that crashes or stalls one is named, and the rest is read, on this machine and on Ray."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from configs.settings import ArchiveSettings, load_settings
from serve.archive import ray_engine, readers
from serve.archive.formats import Row
from serve.archive.inputs import Source
from serve.archive.ledger import Known
from serve.archive.readers import QUEUED, IsolatedReader, Readers
from serve.archive.reading import CHUNK_CHARACTERS, Chunk, Finished, Message, Skipped, SourceDone
from tests.archives import LINES, zip_file

ARCHIVE = Source("a.zip", "a.zip", 0)


def limits(seconds: int) -> ArchiveSettings:
    return load_settings(flags={"archive.timeout_seconds": seconds}).archive


def read(sources: Sequence[Source], bundle: Path, seconds: int, admit: Callable[[str, str], int]) -> list[Message]:
    messages: list[Message] = []
    with Readers(iter(sources), admit, bundle, limits(seconds), count=1) as reading:
        while message := reading.get(wait=True):
            messages.append(message)
    return messages


def reader_processes() -> list[psutil.Process]:
    return [p for p in psutil.Process().children() if "serve.archive.readers" in p.cmdline()]


def kill_reader() -> None:
    (reader,) = reader_processes()
    reader.kill()


def faults(messages: Sequence[Message]) -> dict[str, list[str]]:
    return {each.name: [fault.code for fault in each.faults] for each in messages if isinstance(each, Finished)}


def test_a_file_that_stalls_its_reader_is_named_and_the_rest_is_read(tmp_path: Path, tiny_bundle: Path) -> None:
    os.mkfifo(tmp_path / "endless.txt")  # whoever opens it waits for ever
    (tmp_path / "good.txt").write_text(LINES, "utf-8")
    sources = [Source(str(tmp_path / name), name, 0) for name in ("endless.txt", "good.txt")]
    messages = read(sources, tiny_bundle, 1, lambda name, sha256: 0)
    assert faults(messages) == {"endless.txt": ["timed_out"], "good.txt": []}
    assert [each.source.name for each in messages if isinstance(each, SourceDone)] == ["endless.txt", "good.txt"]


def test_a_file_that_crashes_its_reader_is_named_and_the_rest_of_its_archive_is_read(
    tmp_path: Path, tiny_bundle: Path
) -> None:
    def admit(name: str, sha256: str) -> int:
        if name.endswith("bad.txt"):
            kill_reader()
        return 0

    (tmp_path / "a.zip").write_bytes(zip_file({name: LINES.encode() for name in ("1.txt", "bad.txt", "2.txt")}))
    messages = read([Source(str(tmp_path / "a.zip"), "a.zip", 0)], tiny_bundle, 300, admit)
    assert faults(messages) == {"a.zip/1.txt": [], "a.zip/bad.txt": ["crashed"], "a.zip/2.txt": [], "a.zip": []}
    assert [each.name for each in messages if isinstance(each, Chunk)] == ["a.zip/1.txt", "a.zip/2.txt"]


def test_a_plain_file_that_crashes_its_reader_is_not_read_again(tmp_path: Path, tiny_bundle: Path) -> None:
    asked: list[str] = []

    def admit(name: str, sha256: str) -> int:
        asked.append(name)
        if name == "bad.txt" and len(asked) < 5:
            kill_reader()
        return 0

    names = ("bad.txt", "good.txt")
    for name in names:
        (tmp_path / name).write_text(LINES, "utf-8")
    messages = read([Source(str(tmp_path / name), name, 0) for name in names], tiny_bundle, 300, admit)
    assert asked == ["bad.txt", "good.txt"]
    assert faults(messages) == {"bad.txt": ["crashed"], "good.txt": []}
    assert [each.source.name for each in messages if isinstance(each, SourceDone)] == ["bad.txt", "good.txt"]


@pytest.mark.parametrize("wait", [True, False])
def test_a_run_that_is_stopped_does_not_wait_for_a_stalled_reader(
    tmp_path: Path, tiny_bundle: Path, wait: bool
) -> None:
    os.mkfifo(tmp_path / "endless.txt")
    (tmp_path / "good.txt").write_text(LINES, "utf-8")
    sources = [Source(str(tmp_path / name), name, 0) for name in ("good.txt", "endless.txt", "good.txt")]
    asked: list[str] = []
    with Readers(iter(sources), lambda name, sha256: asked.append(name) or 0, tiny_bundle, limits(60), 1) as reading:
        while wait and not isinstance(reading.get(wait=True), SourceDone):
            pass
        stopped = time.monotonic()  # at the endless file, or while its process starts
    assert time.monotonic() - stopped < 30
    assert asked == ["good.txt"] * wait
    assert reader_processes() == []


# What is blamed, and what waits


class Scripted:
    """A reader process that says what it is told to, one script after another, and stalls at the end of each."""

    scripts: Sequence[Iterable[object]]
    starts: list[int]

    def __init__(self, bundle: Path, limits: ArchiveSettings) -> None:
        self._messages = iter(self.scripts[len(self.starts)])

    def ready(self) -> None:
        pass

    def send(self, task: readers._Task) -> None:
        self.starts.append(task.start)

    def receive(self, seconds: float) -> object:
        for message in self._messages:
            return message
        raise readers._Ended("timed_out", "")

    def kill(self) -> None:
        pass

    def stop(self) -> None:
        pass


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> type[Scripted]:
    monkeypatch.setattr(readers, "_Process", Scripted)
    monkeypatch.setattr(Scripted, "starts", [], raising=False)
    return Scripted


def read_archive() -> list[Message]:
    return list(IsolatedReader(Path(), limits(1)).read(ARCHIVE, lambda name, sha256: 0))


def test_the_file_that_a_reader_was_at_is_blamed_and_no_finished_one(scripted: type[Scripted]) -> None:
    first, third = Finished("a.zip/1.txt", "hash"), Finished("a.zip/3.txt", "hash")
    scripted.scripts = [
        [readers._At("a.zip/1.txt", 0), first, readers._At("a.zip", None), readers._At("a.zip/2.txt", 1)],
        [readers._At("a.zip/3.txt", 2), third, readers._At("a.zip", None), SourceDone(ARCHIVE, 0)],
    ]
    assert faults(read_archive()) == {"a.zip/1.txt": [], "a.zip/2.txt": ["timed_out"], "a.zip/3.txt": []}
    assert scripted.starts == [0, 2]


def test_between_two_of_its_files_the_archive_is_blamed(scripted: type[Scripted]) -> None:
    first = Finished("a.zip/1.txt", "hash")
    scripted.scripts = [[readers._At("a.zip/1.txt", 0), first, readers._At("a.zip", None)]]
    messages = read_archive()
    assert faults(messages) == {"a.zip/1.txt": [], "a.zip": ["timed_out"]}
    assert messages[-1] == SourceDone(ARCHIVE, 0)


def test_few_long_texts_wait_for_the_model(scripted: type[Scripted]) -> None:
    row = Row("a", "a", 0, "长" * CHUNK_CHARACTERS * 40, None, "")
    given: list[int] = []

    def chunks() -> Iterator[Chunk]:
        for number in range(QUEUED):
            given.append(number)
            yield Chunk("a", "hash", (row,), (), 0)

    scripted.scripts = [chunks()]
    with Readers(iter([ARCHIVE]), lambda name, sha256: 0, Path(), limits(1), count=1):
        while len(given) < 4:  # three, each as long as 40 chunks, and one that waits to be put to them
            time.sleep(0.01)
        time.sleep(0.3)
        assert len(given) == 4


# On Ray


@pytest.fixture
def read_on_ray(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[Message]]]:
    """Reads a source as a task of Ray does, in a worker that has the bundle already."""
    monkeypatch.setattr(ray_engine, "_unpacked", lambda version, shipped: tiny_bundle)
    settings = limits(1)

    def read(source: Source, known: dict[str, Known]) -> list[Message]:
        rows = ray_engine._read({"task": [pickle.dumps((source, known))]}, None, "", settings)
        return [pickle.loads(row["message"][0]) for row in rows]

    yield read
    ray_engine._reader("", None, settings).stop()
    ray_engine._reader.cache_clear()


def test_a_task_of_ray_outlives_a_file_that_stalls_its_reader(
    tmp_path: Path, read_on_ray: Callable[..., list[Message]]
) -> None:
    os.mkfifo(tmp_path / "endless.txt")
    (tmp_path / "good.txt").write_text(LINES, "utf-8")
    stalled, good = (read_on_ray(Source(str(tmp_path / name), name, 0), {}) for name in ("endless.txt", "good.txt"))
    assert faults(stalled) == {"endless.txt": ["timed_out"]}
    assert faults(good) == {"good.txt": []}


def test_a_task_of_ray_tells_of_inputs_that_are_done(tmp_path: Path, read_on_ray: Callable[..., list[Message]]) -> None:
    source = Source(str(tmp_path / "a.txt"), "a.txt", 0)
    (tmp_path / "a.txt").write_text(LINES, "utf-8")
    sha256 = next(each.sha256 for each in read_on_ray(source, {}) if isinstance(each, Finished))
    assert sha256
    again = read_on_ray(source, {"a.txt": Known(sha256, 2, done=True)})
    assert again == [Skipped("a.txt", sha256), SourceDone(source, 1)]
