"""How far a run is: a bar on a terminal, a plain line now and then elsewhere, and `status.json` for other programs."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task
from rich.text import Text

from serve.archive.ledger import Model
from serve.archive.output import write_output
from serve.archive.reading import Finished, SourceDone
from serve.archive.scoring import Result, Scored

FILE = "status.json"
STATUS_SECONDS = 2.0
LINE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Work:
    """What there is to do, as listed: files, and their bytes."""

    files: int
    bytes: int


class RunProgress:
    """Follows the results of a run. Counts are of this run; what was done before counts as skipped."""

    def __init__(self, folder: Path, model: Model, work: Work, console: Console) -> None:
        self._file = folder / FILE
        self._model = model
        self._work = work
        self._console = console
        self._started = time.monotonic()
        self._started_at = datetime.now(UTC)
        self._shown = self._written = 0.0
        self._bytes_done = self._bytes_skipped = self._in_source = 0
        self.files = self.paragraphs = self.skipped = self.failures = 0
        self._bar = Progress(BarColumn(), _Line(self), console=console, transient=True) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
            self._bar.add_task("", total=max(self._work.bytes, 1))
        self._write("running")
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, traceback: TracebackType | None) -> None:
        if self._bar:
            self._bar.stop()
        interrupted = kind is not None and issubclass(kind, KeyboardInterrupt | SystemExit)
        self._write("done" if kind is None else "stopped" if interrupted else "failed")

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def follow(self, result: Result) -> None:
        if isinstance(result, Scored):
            self.paragraphs += len(result.rows)
            self._in_source = result.position
        elif isinstance(result, Finished):
            self.failures += bool(result.faults)
        elif isinstance(result, SourceDone):
            self.files += 1
            self.skipped += result.skipped
            self._bytes_done += result.source.size
            self._bytes_skipped += result.source.size if result.skipped else 0
            self._in_source = 0
        self._show()

    def line(self) -> str:
        """For people."""
        eta = self.eta_seconds()
        left = "" if eta is None else f" · 剩余 ETA {timedelta(seconds=round(eta))}"
        return (
            f"文件 files {self.files}/{self._work.files} · 段 paragraphs {self.paragraphs:,} · {self.speed():,.0f}/s"
            f"{left} · 未读 failures {self.failures}"
        )

    def speed(self) -> float:
        """Paragraphs scored a second."""
        return self.paragraphs / max(self.seconds, 1e-9)

    def eta_seconds(self) -> float | None:
        """Seconds to go, by the bytes that are left; None while nothing can be told."""
        scored = self._bytes_done - self._bytes_skipped + self._in_source
        if not self.paragraphs or scored <= 0:
            return None
        return max(0, self._work.bytes - self._bytes_done - self._in_source) * self.seconds / scored

    def _show(self) -> None:
        now = self.seconds
        if now - self._written >= STATUS_SECONDS:
            self._write("running")
        if self._bar:
            self._bar.update(self._bar.task_ids[0], completed=self._bytes_done + self._in_source)
        elif now - self._shown >= LINE_SECONDS:
            self._shown = now
            self._console.print(self.line(), markup=False, highlight=False)

    def _write(self, state: str) -> None:
        self._written = self.seconds
        status: dict[str, Any] = {
            "state": state,
            "model": f"{self._model.name} {self._model.version}",
            "taxonomy": self._model.taxonomy,
            "files": self.files,
            "files_listed": self._work.files,
            "inputs_done_before": self.skipped,
            "paragraphs": self.paragraphs,
            "paragraphs_per_second": round(self.speed(), 1),
            "eta_seconds": None if (eta := self.eta_seconds()) is None else round(eta),
            "failures": self.failures,
            "started": self._started_at.isoformat(timespec="seconds"),
            "updated": datetime.now(UTC).isoformat(timespec="seconds"),
            "process": os.getpid(),
        }
        write_output(self._file, json.dumps(status, indent=1) + "\n")


class _Line(ProgressColumn):
    def __init__(self, progress: RunProgress) -> None:
        super().__init__()
        self._progress = progress

    def render(self, task: Task) -> Text:
        return Text(self._progress.line())
