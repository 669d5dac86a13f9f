"""Many texts as requests that the service takes, and their answers put together again in the order of the texts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from policy_topics.client.answers import Corrected, Limits
from policy_topics.client.errors import ClientError, Incomplete, ServiceError, UnusableTexts

T = TypeVar("T")

MOST_ITEMS = 200
"""Items in one request, where the service takes more: more save nothing, and an answer should come soon."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One request: `items` are those from index `first` on, each as JSON."""

    first: int
    items: tuple[bytes, ...]

    def body(self, beside: Mapping[str, object]) -> bytes:
        """The request's body, with what stands beside the items."""
        return b'{"items":[' + b",".join(self.items) + b"]," + _json(beside)[1:]


class Gathered(Generic[T]):
    """Answers as they come, of any batch."""

    def __init__(self, number: int) -> None:
        self._results: list[T | None] = [None] * number
        self._fault: ClientError | None = None

    @property
    def failed(self) -> bool:
        """Whether a batch has: the others that are under way are worth waiting for, new ones are not."""
        return self._fault is not None

    def take(self, batch: Batch, results: Sequence[T]) -> None:
        if len(results) != len(batch.items):
            raise ClientError(f"{len(results)} results for {len(batch.items)} items: policy-topics does not answer so")
        self._results[batch.first : batch.first + len(results)] = results

    def fail(self, batch: Batch, fault: ClientError) -> None:
        self._fault = fault.moved(batch.first) if isinstance(fault, ServiceError) else fault

    def whole(self) -> list[T]:
        """All answers, in order.

        Raises:
            Incomplete: with those that there are.
        """
        if self._fault:
            raise Incomplete(self._results) from self._fault
        return [result for result in self._results if result is not None]


def text_items(texts: Sequence[str], limits: Limits) -> list[bytes]:
    """Texts as items of /classify.

    Raises:
        UnusableTexts: some cannot be sent.
    """
    return _items([{"text": text} for text in texts], limits)


def correction_items(corrections: Sequence[Corrected], limits: Limits) -> list[bytes]:
    """Corrections as items of /feedback.

    Raises:
        UnusableTexts: some cannot be sent.
    """
    return _items(
        [
            {
                "id": str(each.id),
                "text": each.text,
                "old": [{"id": topic.id, "probability": topic.probability} for topic in each.given.topics],
                "new": each.topics,
                "model": each.given.model.version,
                "document": each.document,
            }
            for each in corrections
        ],
        limits,
    )


def cut(items: Sequence[bytes], beside: Mapping[str, object], limits: Limits) -> Iterator[Batch]:
    """Requests that hold as much as the service takes of one."""
    most_items, most_bytes = min(limits.max_items, MOST_ITEMS), limits.max_body_bytes - len(Batch(0, ()).body(beside))
    first = size = 0
    for index, item in enumerate(items):
        if index > first and (index - first == most_items or size + len(item) + 1 > most_bytes):
            yield Batch(first, tuple(items[first:index]))
            first, size = index, 0
        size += len(item) + 1
    if items:
        yield Batch(first, tuple(items[first:]))


def _items(contents: Sequence[Mapping[str, Any]], limits: Limits) -> list[bytes]:
    items, reasons = [], {}
    for index, content in enumerate(contents):
        if len(content["text"]) > limits.max_item_characters:
            reasons[index] = f"longer than {limits.max_item_characters} characters; send it with classify_document"
        try:
            items.append(_json(content))
        except UnicodeEncodeError:
            reasons[index] = "has half of a surrogate pair, which is no character; decode it with errors='replace'"
    if reasons:
        raise UnusableTexts(reasons)
    return items


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
