"""`POST /feedback` and `GET /queue`."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

from pydantic import ValidationError
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from configs.settings import Settings, resolve, resolve_database
from policy_topics.bundle import Bundle
from policy_topics.errors import FeedbackError
from policy_topics.feedback.corrections import Correction, Suggested
from policy_topics.text import clean
from serve.feedback.queue import Queue
from serve.feedback.writer import Full, Writer
from serve.model import Model
from serve.problems import FieldError, Problem, invalid, unusable
from serve.reading import JSON, media_type, unsupported
from serve.schemas import QUEUE_SHOWN, FeedbackAbout, FeedbackItem, FeedbackRequest, FeedbackStored, QueueAnswer

if TYPE_CHECKING:
    from policy_topics.feedback.store import Store


log = logging.getLogger("policy_topics.serve")


class Feedback:
    """Takes corrections and offers paragraphs to label. The store is opened by the first request that needs it."""

    def __init__(self, settings: Settings, model: Model) -> None:
        self._settings = settings.feedback
        self._limits = settings.serve
        self._model = model
        self._writer = Writer(self._store, settings.feedback.queue_items)
        self._queue = Queue(resolve(settings.feedback.queue)) if settings.feedback.queue else None
        self._opening = threading.Lock()
        self._opened: Store | None = None

    @property
    def about(self) -> FeedbackAbout:
        enabled = self._settings.enabled
        return FeedbackAbout(enabled=enabled, queue=enabled and self._queue is not None)

    async def close(self) -> None:
        await self._writer.close()
        if self._opened:
            self._opened.close()

    async def take(self, request: Request) -> Response:
        """Corrections; the answer comes when they are stored for good."""
        self._check_enabled()
        if media_type(request) != JSON:
            raise unsupported(request, JSON)
        body, who = await request.body(), getattr(request.state, "key_name", None)
        corrections = await asyncio.to_thread(self._read, body, who)
        try:
            added = await self._writer.add(corrections)
        except Full:
            raise self._busy() from None
        except FeedbackError:
            raise self._unavailable() from None
        if added.conflicts:
            raise _conflict(added.conflicts)
        stored = FeedbackStored(ids=[each.id for each in corrections])
        return Response(to_json(stored), 201 if added.new else 200, media_type=JSON)

    async def offer(self, request: Request) -> Response:
        """Paragraphs of the queue that nobody has corrected yet."""
        self._check_enabled()
        offset = _number(request, "offset", 0, least=0)
        limit = min(_number(request, "limit", QUEUE_SHOWN, least=1), self._limits.max_items)
        try:
            return Response(to_json(await asyncio.to_thread(self._page, offset, limit)), media_type=JSON)
        except FeedbackError as fault:
            log.error("the queue cannot be offered: %s", fault)
            raise self._unavailable() from None

    def _page(self, offset: int, limit: int) -> QueueAnswer:
        left = self._queue.left(self._store()) if self._queue else []
        return QueueAnswer(items=left[offset : offset + limit], total=len(left))

    def _store(self) -> Store:
        with self._opening:
            if self._opened is None:
                from policy_topics.feedback.store import Store  # SQLAlchemy and Alembic take a second to import

                self._opened = Store(resolve_database(self._settings.url))
            return self._opened

    def _read(self, body: bytes, who: str | None) -> list[Correction]:
        try:
            asked = FeedbackRequest.model_validate_json(body)
        except ValidationError as fault:
            raise unusable(fault) from None
        if not asked.consent:
            raise _no_consent()
        if len(asked.items) > self._limits.max_items:
            raise Problem(
                "too_large",
                f"{len(asked.items)} items are more than {self._limits.max_items} (serve.max_items); send them in "
                "parts. Nothing was stored.",
                f"共 {len(asked.items)} 条，超过上限 {self._limits.max_items} 条（serve.max_items），请分批发送；"
                "未保存任何内容。",
            )
        bundle = self._model.classifier.bundle
        if faults := _faults(asked.items, bundle, self._limits.max_item_characters):
            raise invalid(faults)
        return [_correction(item, bundle, who) for item in asked.items]

    def _check_enabled(self) -> None:
        if not self._settings.enabled:
            raise Problem(
                "feedback_off",
                "This service takes no corrections (feedback.enabled is false); nothing was stored.",
                "本服务不接收更正（feedback.enabled 为 false），未保存任何内容。",
            )

    def _busy(self) -> Problem:
        return Problem(
            "busy",
            "Too many corrections wait to be stored (feedback.queue_items); send the same again, with the same ids, "
            "after `Retry-After`.",
            "等待保存的更正过多（feedback.queue_items），请按 Retry-After 稍后以相同 id 重发。",
            headers=self._retry_after(),
        )

    def _unavailable(self) -> Problem:
        return Problem(
            "feedback_unavailable",
            "The store of corrections (feedback.url) or the queue (feedback.queue) cannot be used now; the log says "
            "why. Send the same again later, with the same ids: what was stored nevertheless is not stored twice.",
            "更正库（feedback.url）或待标队列（feedback.queue）暂不可用，原因见服务日志。"
            "请稍后以相同 id 重发，不会重复保存。",
            headers=self._retry_after(),
        )

    def _retry_after(self) -> dict[str, str]:
        return {"Retry-After": str(self._limits.retry_after_seconds)}


def _correction(item: FeedbackItem, bundle: Bundle, who: str | None) -> Correction:
    version = item.model or bundle.version
    return Correction(
        id=str(item.id or uuid4()),
        text=item.text,
        old=tuple(Suggested(topic.id, topic.probability) for topic in item.old),
        new=tuple(item.new),
        model=bundle.name if version == bundle.version else None,
        version=version,
        taxonomy=bundle.taxonomy.version,
        time=datetime.now(UTC),
        who=who,
        document=item.document,
    )


def _faults(items: Sequence[FeedbackItem], bundle: Bundle, longest: int) -> list[FieldError]:
    """What of the items cannot be stored or learnt from."""
    faults: list[FieldError] = []
    ids: set[object] = set()
    for index, item in enumerate(items):

        def add(field: str, message: str, index: int = index) -> None:
            faults.append(FieldError(item=index, field=field, message=message))

        if item.id is not None and item.id in ids:
            add("id", "stands twice in this request")
        ids.add(item.id)
        if len(item.text) > longest:
            add("text", f"longer than {longest} characters (serve.max_item_characters)")
        elif not clean(item.text).text:
            add("text", "nothing of it is left after cleaning")
        for field, value in (("text", item.text), ("document", item.document or ""), ("model", item.model or "")):
            if "\0" in value:
                add(field, "holds a NUL character")
        known = set(bundle.taxonomy.ids)
        if unknown := [topic for topic in item.new if topic not in known]:
            add("new", f"unknown topics: {', '.join(unknown)}; /topics lists them")
        if len(set(item.new)) < len(item.new):
            add("new", "a topic stands twice")
        # Another model's topics may be others; those that it gave are kept as they were.
        of_this_model = item.model in (None, bundle.version)
        if of_this_model and (unknown := [topic.id for topic in item.old if topic.id not in known]):
            add("old", f"unknown topics: {', '.join(unknown)}; /topics lists them")
    return faults


def _number(request: Request, name: str, default: int, least: int) -> int:
    given = request.query_params.get(name)
    if given is None:
        return default
    if not (given.isascii() and given.isdecimal() and len(given) < 10 and int(given) >= least):
        raise invalid([FieldError(item=None, field=name, message=f"must be a whole number from {least} on")])
    return int(given)


def _no_consent() -> Problem:
    return Problem(
        "no_consent",
        'Nothing was stored: the texts are kept only with consent. Send `"consent": true` where whoever corrects '
        "agrees that the text, the topics and the name of the API key are kept to improve the model.",
        "未保存任何内容：只有在同意后才会保存文本。更正者同意保存文本、主题和密钥名称用于改进模型时，请发送 "
        '"consent": true。',
    )


def _conflict(ids: Sequence[str]) -> Problem:
    listed = ", ".join(ids[:3]) + (" …" if len(ids) > 3 else "")
    return Problem(
        "conflict",
        f"Stored before with other content, under the same id: {listed}. Nothing of this request was stored; give a "
        "new correction an id of its own.",
        f"以下 id 已用于内容不同的更正：{listed}。本次请求未保存任何内容；新的更正请使用新的 id。",
    )
