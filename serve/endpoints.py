"""What the paths of the HTTP interface answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from configs.settings import Settings
from policy_topics.classifier import Classifier
from policy_topics.documents import Document
from policy_topics.engine import Logits
from policy_topics.segment import Segmented, paragraphs
from policy_topics.tokeniser import Tokenised
from serve.answers import Language, document_topics, model_name, topics_of
from serve.feedback.endpoints import Feedback
from serve.limits import while_connected
from serve.model import Model
from serve.observation.metrics import MEDIA_TYPE as METRICS_TYPE
from serve.observation.metrics import Metrics
from serve.observation.record import Record
from serve.openapi.document import openapi
from serve.reading import JSON, media_type, read_items, receive_document, unsupported
from serve.schemas import (
    Classification,
    ClassifyRequest,
    DocumentAbout,
    DocumentClassification,
    DocumentText,
    ItemResult,
    LimitsAnswer,
    ModelAnswer,
    Options,
    ParagraphResult,
    Topics,
)
from serve.uploads.pool import Uploads

T = TypeVar("T")

SMALL_BYTES = 4096
"""A body of up to so many bytes is read, tokenised and answered in the event loop, within 3 ms. In threads, a request
without items takes three times the processor time, and waits for the interpreter's lock four times."""


class Endpoints:
    """The endpoints. Work on texts is done in threads: the event loop only passes messages."""

    def __init__(
        self, settings: Settings, model: Model, uploads: Uploads, feedback: Feedback, counters: Metrics
    ) -> None:
        self._limits = settings.serve
        self._uploads = uploads
        self._feedback = feedback
        self._model = model
        self._metrics = counters
        self._docs: bytes | None = None

    async def classify(self, request: Request) -> Response:
        self._model.check()
        if media_type(request) != JSON:
            raise unsupported(request, JSON)
        body, language = await request.body(), _language(request)
        work = self._classify(body, language, request.state.record)
        return _in(language, await while_connected(request, work))

    async def classify_document(self, request: Request) -> Response:
        self._model.check()
        read = await receive_document(request, self._limits, self._uploads)
        language = _language(request)
        work = self._classify_document(read, language, request.state.record)
        return _in(language, await while_connected(request, work))

    async def read_document(self, request: Request) -> Response:
        """The text of a document, for a client that sends it on part by part."""
        read = await receive_document(request, self._limits, self._uploads)
        return _json(await while_connected(request, self._read_document(read)))

    async def topics(self, request: Request) -> Response:
        return _json(to_json(self._model.classifier.bundle.taxonomy, by_alias=True))

    async def about_model(self, request: Request) -> Response:
        return _json(await asyncio.to_thread(self._about_model))

    async def livez(self, request: Request) -> Response:
        if self._model.failed:
            self._model.check()
        return PlainTextResponse("\n")

    async def readyz(self, request: Request) -> Response:
        if not self._model.ready:
            self._model.check()
        return PlainTextResponse("\n")

    async def metrics(self, request: Request) -> Response:
        return Response(self._metrics.exposition(), media_type=METRICS_TYPE)

    async def docs(self, request: Request) -> Response:
        if self._docs is None:
            self._docs = to_json(openapi(self._limits))
        return _json(self._docs)

    async def _classify(self, body: bytes, language: Language, record: Record) -> bytes:
        async with self._model.using() as answering:
            classifier = answering.classifier
            small = len(body) <= SMALL_BYTES
            asked, tokenised = await _aside(small, lambda: self._tokenise_items(body, classifier, record))
            logits = await self._model.logits(answering, tokenised, record)
            record.enter("decode")

            def answer() -> bytes:
                topics = self._topics(classifier, tokenised, logits, asked.options, language)
                results = [ItemResult(id=item.id, **own) for item, own in zip(asked.items, topics, strict=True)]
                return to_json(Classification(model=model_name(classifier.bundle), results=results))

            return await _aside(small, answer)

    async def _read_document(self, read: Callable[[], Awaitable[tuple[Document, Options]]]) -> bytes:
        document, _ = await read()
        answer = DocumentText(document=_about(document), text=document.text, dropped=list(document.dropped))
        return await asyncio.to_thread(to_json, answer)

    async def _classify_document(
        self, read: Callable[[], Awaitable[tuple[Document, Options]]], language: Language, record: Record
    ) -> bytes:
        record.enter("read")
        document, options = await read()
        async with self._model.using() as answering:
            classifier = answering.classifier
            segmented, tokenised = await asyncio.to_thread(_tokenise_document, document, classifier, record)
            logits = await self._model.logits(answering, tokenised, record)
            record.enter("decode")

            def answer() -> bytes:
                topics = self._topics(classifier, tokenised, logits, options, language)
                results = [
                    ParagraphResult(index=at.index, start=at.start, end=at.end, text=at.text, **own)
                    for at, own in zip(segmented.paragraphs, topics, strict=True)
                ]
                whole = document_topics(segmented.paragraphs, topics, classifier.bundle.taxonomy, language)
                return to_json(
                    DocumentClassification(
                        model=model_name(classifier.bundle),
                        document=_about(document),
                        results=results,
                        document_topics=whole,
                        dropped=[*document.dropped, *segmented.dropped],
                    )
                )

            return await asyncio.to_thread(answer)

    def _tokenise_items(
        self, body: bytes, classifier: Classifier, record: Record
    ) -> tuple[ClassifyRequest, list[Tokenised]]:
        record.enter("read")
        asked = read_items(body, self._limits)
        return asked, _tokenise([item.text for item in asked.items], classifier, record)

    def _topics(
        self,
        classifier: Classifier,
        tokenised: Sequence[Tokenised],
        logits: Sequence[Logits],
        options: Options,
        language: Language,
    ) -> list[Topics]:
        predictions = classifier.decode(logits, tokenised)
        self._metrics.predicted(predictions, classifier.bundle)
        return [topics_of(each, classifier.bundle.taxonomy, options, language) for each in predictions]

    def _about_model(self) -> bytes:
        classifier, limits = self._model.classifier, self._limits
        return to_json(
            ModelAnswer(
                **model_name(classifier.bundle),
                topics=len(classifier.bundle.taxonomy.topics),
                engine=classifier.engine.name,
                metrics=classifier.bundle.metrics(),
                limits=LimitsAnswer(
                    max_body_bytes=limits.max_body_bytes,
                    max_items=limits.max_items,
                    max_item_characters=limits.max_item_characters,
                    max_document_characters=limits.max_document_characters,
                    timeout_seconds=limits.timeout_seconds,
                ),
                feedback=self._feedback.about,
            )
        )


def _about(document: Document) -> DocumentAbout:
    return DocumentAbout(
        name=document.name,
        media_type=document.media_type,
        encoding=document.encoding,
        remarks=list(document.remarks),
    )


def _tokenise_document(document: Document, classifier: Classifier, record: Record) -> tuple[Segmented, list[Tokenised]]:
    record.enter("segment")
    segmented = paragraphs(document.text)
    return segmented, _tokenise([paragraph.text for paragraph in segmented.paragraphs], classifier, record)


def _tokenise(texts: Sequence[str], classifier: Classifier, record: Record) -> list[Tokenised]:
    record.enter("tokenise")
    tokenised = classifier.tokenise(texts)
    record.paragraphs, record.tokens = len(tokenised), sum(each.tokens for each in tokenised)
    return tokenised


async def _aside(small: bool, work: Callable[[], T]) -> T:
    """The result of `work`, which a thread does unless it is small: handing it over and back costs more than that."""
    return work() if small else await asyncio.to_thread(work)


def _language(request: Request) -> Language:
    return "en" if request.headers.get("accept-language", "").strip().lower().startswith("en") else "zh"


def _in(language: Language, content: bytes) -> Response:
    headers = {"Content-Language": language, "Vary": "Accept-Language"}
    return Response(content, headers=headers, media_type=JSON)


def _json(content: bytes) -> Response:
    return Response(content, media_type=JSON)
