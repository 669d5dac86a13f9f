"""Scoring on Ray Data, on this machine or on a cluster: the same reading and the same scoring, spread by Ray.

The driver keeps the ledger and writes the parts, as it does in-process. The bundle travels with the work. What must be
on every machine is this program (`policy-topics[archive,ray]`) and the way to the inputs: a shared folder, or `s3://`.
"""

from __future__ import annotations

import logging
import os
import pickle
import shutil
import tempfile
from collections.abc import Generator, Iterator, Mapping
from functools import cache
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

from configs.settings import ArchiveSettings, EngineSettings, Settings
from configs.tracking import switch_off_tracking
from policy_topics.bundle import load_bundle
from policy_topics.classifier import Classifier
from policy_topics.engine import available_cores
from serve.archive.faults import Duplicate
from serve.archive.inputs import Source
from serve.archive.ledger import Known
from serve.archive.output import Output, remaining
from serve.archive.readers import IsolatedReader
from serve.archive.reading import Admit, Finished, Message, Skipped, SourceDone, refused_double
from serve.archive.scoring import Result, score

WAVE = 2000
"""Sources that Ray is given at a time: what the ledger knows of them travels with them and must fit into memory."""

POOL_CHUNKS = 32

SCORING_CPUS = 0.5
"""Of those that Ray counts, for a scoring worker's thread. If it had a whole one, nothing would be left to read with,
and Ray would wait for ever."""

READING_CPUS = 0.25
"""For a reading task; another share than the workers', or Ray would make one worker of reading and scoring, and a
single large file would keep one machine busy while the others wait."""

Files = dict[str, bytes]
Row = dict[str, Any]


def score_on_ray(
    sources: Iterator[Source], output: Output, bundle: Path, settings: Settings, address: str | None
) -> Generator[Result]:
    """Results of all sources; those of one source in order."""
    switch_off_tracking()
    ray: Any = import_module("ray")
    data: Any = import_module("ray.data")
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address is None:
        options |= {"num_cpus": available_cores(), "include_dashboard": False}
    ray.init(address=address, **options)
    try:
        context = data.DataContext.get_current()
        context.execution_options.preserve_order = True  # an input's rows are counted off in their order
        context.enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        shipped = ray.put({name: (bundle / name).read_bytes() for name in _files(bundle)})
        threads = settings.engine.threads or 1
        engine = settings.engine.model_copy(update={"threads": threads})
        workers = max(1, int(ray.cluster_resources().get("CPU", 1)) // threads)
        version = load_bundle(bundle).version
        while wave := list(islice(sources, WAVE)):
            items = [{"task": pickle.dumps((each, output.known_within(each.name)))} for each in wave]
            dataset = (
                data.from_items(items, override_num_blocks=len(items))
                .map_batches(
                    _read, batch_size=1, num_cpus=READING_CPUS,
                    fn_kwargs={"shipped": shipped, "version": version, "limits": settings.archive},
                )
                .map_batches(
                    _Scorer, batch_size=POOL_CHUNKS, num_cpus=SCORING_CPUS * threads,
                    compute=data.ActorPoolStrategy(size=workers),
                    fn_constructor_kwargs={"shipped": shipped, "version": version, "engine": engine},
                )
            )  # fmt: skip
            yield from _admitted((pickle.loads(row["message"]) for row in dataset.iter_rows()), output)
    finally:
        ray.shutdown()


def _admitted(results: Iterator[Result], output: Output) -> Iterator[Result]:
    """Results without those of inputs that the run has met before."""
    current: tuple[str, str] | None = None
    wanted = True
    doubles: list[tuple[str, int]] = []  # of a source, which its last result tells
    for result in results:
        if not isinstance(result, SourceDone) and result.sha256 and (result.name, result.sha256) != current:
            current = (result.name, result.sha256)
            try:
                wanted = output.admit(*current) is not None
            except Duplicate as fault:
                wanted = False
                doubles.append((result.name, fault.number))
        if isinstance(result, SourceDone):
            yield from (refused_double(name, number, result.source) for name, number in doubles)
            doubles.clear()
        if wanted or isinstance(result, SourceDone) or not result.sha256:
            yield result
        if isinstance(result, Finished | Skipped):
            current = None  # what comes next is another input, even if it looks the same


def _read(batch: Any, shipped: Any, version: str, limits: ArchiveSettings) -> Iterator[Row]:
    """A source to its messages, each a row of bytes: Ray's tables have no columns of tokens of various lengths."""
    for task in batch["task"]:
        source, known = pickle.loads(task)
        for message in _reader(version, shipped, limits).read(source, _asking(known)):
            yield {"message": [pickle.dumps(message)]}


def _asking(known: Mapping[str, Known]) -> Admit:
    return lambda name, sha256: remaining(known.get(name), sha256)


class _Scorer:
    """A worker with the model."""

    def __init__(self, shipped: Any, version: str, engine: EngineSettings) -> None:
        self._classifier = Classifier.load(_unpacked(version, shipped), engine)

    def __call__(self, batch: Any) -> Row:
        messages: list[Message] = [pickle.loads(message) for message in batch["message"]]
        (results,) = score([messages], self._classifier)
        return {"message": [pickle.dumps(result) for result in results]}


@cache
def _reader(version: str, shipped: Any, limits: ArchiveSettings) -> IsolatedReader:
    """That of this worker, whose tasks come one after another; it ends with the worker."""
    return IsolatedReader(_unpacked(version, shipped), limits)


def _unpacked(version: str, shipped: Any) -> Path:
    """The bundle as a folder of this machine; whoever comes first writes it."""
    folder = Path(tempfile.gettempdir(), f"policy-topics-{os.getuid()}", version)
    if folder.is_dir():
        return folder
    files: Files = import_module("ray").get(shipped)
    folder.parent.mkdir(parents=True, exist_ok=True)
    writing = Path(tempfile.mkdtemp(dir=folder.parent))
    for name, content in files.items():
        file = writing / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    try:
        writing.rename(folder)
    except OSError:  # another worker was first
        shutil.rmtree(writing)
    return folder


def _files(bundle: Path) -> list[str]:
    return [file.relative_to(bundle).as_posix() for file in bundle.rglob("*") if file.is_file()]
