"""The queue: paragraphs of `policy-topics data suggest` that are offered to be labelled, best first."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from configs.taxonomy import faults_of
from policy_topics.errors import FeedbackError
from policy_topics.feedback.corrections import text_sha256
from serve.schemas import QueueItem

if TYPE_CHECKING:
    from policy_topics.feedback.store import Store

_ITEM = TypeAdapter(QueueItem)


class Queue:
    """The paragraphs of a file, which is read again when it changes. Safe from several threads."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._reading = threading.Lock()
        self._mark: tuple[int, int] | None = None
        self._items: Sequence[tuple[str, QueueItem]] = ()

    def left(self, store: Store) -> list[QueueItem]:
        """Those that there is no correction of yet, in their order.

        Raises:
            FeedbackError: the file or the store cannot be read.
        """
        items = self._read()
        done = store.corrected([sha256 for sha256, _ in items])
        return [item for sha256, item in items if sha256 not in done]

    def _read(self) -> Sequence[tuple[str, QueueItem]]:
        """Each paragraph with the hash of its text."""
        with self._reading:
            try:
                stat = self._file.stat()
                if (mark := (stat.st_mtime_ns, stat.st_size)) != self._mark:
                    lines = self._file.read_text("utf-8").split("\n")
                    items = [_ITEM.validate_json(line) for line in lines if line.strip()]
                    self._items = [(text_sha256(item["text"]), item) for item in items]
                    self._mark = mark
            except (OSError, UnicodeDecodeError) as fault:
                raise FeedbackError(f"{self._file}: the queue cannot be read: {fault}; see feedback.queue") from fault
            except ValidationError as fault:
                raise FeedbackError(
                    f"{self._file}: no queue as `policy-topics data suggest` writes it: {faults_of(fault)}"
                ) from fault
            return self._items
