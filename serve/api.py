"""The HTTP interface: paths and what they answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from pydantic_core import to_json
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Match, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from configs.settings import Settings
from policy_topics.bundle import Bundle
from policy_topics.classifier import Classifier, Tokenised
from policy_topics.documents import Document
from policy_topics.engine import Logits
from policy_topics.segment import Segmented, paragraphs
from serve import metrics, problems
from serve.answers import Language, document_topics, topics_of
from serve.limits import Limits, while_connected
from serve.metrics import MeasureRequests, Metrics
from serve.model import Model
from serve.openapi import openapi
from serve.problems import Problem
from serve.reading import JSON, media_type, read_items, receive_document, unsupported
from serve.schemas import (
    Classification,
    ClassifyRequest,
    DocumentAbout,
    DocumentClassification,
    ItemResult,
    LimitsAnswer,
    ModelAnswer,
    ModelName,
    Options,
    ParagraphResult,
    Topics,
)

PAGE = Path(__file__).with_name("page") / "index.html"


def create_app(
    settings: Settings, load: Callable[[], Classifier], mark: Callable[[], object] = lambda: None
) -> Starlette:
    """The app. `load` is called in a thread when the app starts; until the model has run, requests get 503.

    It is called again whenever `mark` comes to something else; what it gives takes over between two requests.
    """
    counters = Metrics()
    model = Model(settings, load, mark, counters)
    api = _Api(settings, model, counters)
    routes = [
        Route("/", api.page),
        Route("/classify", api.classify, methods=["POST"]),
        Route("/classify_document", api.classify_document, methods=["POST"]),
        Route("/topics", api.topics),
        Route("/model", api.about_model),
        Route("/livez", api.livez),
        Route("/readyz", api.readyz),
        Route("/metrics", api.metrics),
        Route("/docs.json", api.docs),
    ]
    serve = settings.serve
    bounds = {"max_body_bytes": serve.max_body_bytes, "timeout_seconds": serve.timeout_seconds}

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        model.start()
        yield
        await model.close()

    app = Starlette(
        # Under BentoML an app gets only what one of its routes matches: the last one keeps all errors ours.
        routes=[*routes, Mount("/", _nothing_here(routes))],
        middleware=[
            Middleware(MeasureRequests, metrics=counters, paths=[route.path for route in routes]),
            Middleware(Limits, **bounds),
        ],
        exception_handlers={
            Problem: problems.answer_problem,
            HTTPException: problems.answer_http_exception,
            ClientDisconnect: problems.answer_nobody,
            Exception: problems.answer_fault,
        },
        lifespan=lifespan,
    )
    app.state.model = model
    return app


class _Api:
    """The endpoints. Work on texts is done in threads: the event loop only passes messages."""

    def __init__(self, settings: Settings, model: Model, counters: Metrics) -> None:
        self._limits = settings.serve
        self._model = model
        self._metrics = counters
        self._docs: bytes | None = None

    async def classify(self, request: Request) -> Response:
        self._model.check()
        if media_type(request) != JSON:
            raise unsupported(request, JSON)
        body, language = await request.body(), _language(request)
        return _in(language, await while_connected(request, self._classify(body, language)))

    async def classify_document(self, request: Request) -> Response:
        self._model.check()
        read = await receive_document(request, self._limits)
        language = _language(request)
        return _in(language, await while_connected(request, self._classify_document(read, language)))

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
        return Response(self._metrics.exposition(), media_type=metrics.MEDIA_TYPE)

    async def docs(self, request: Request) -> Response:
        if self._docs is None:
            self._docs = to_json(openapi(self._limits))
        return _json(self._docs)

    async def page(self, request: Request) -> Response:
        return FileResponse(PAGE, media_type="text/html")

    async def _classify(self, body: bytes, language: Language) -> bytes:
        async with self._model.using() as answering:
            classifier = answering.classifier
            asked, tokenised = await asyncio.to_thread(self._tokenise_items, body, classifier)
            logits = await self._model.logits(answering, tokenised)

            def answer() -> bytes:
                topics = _topics(classifier, tokenised, logits, asked.options, language)
                results = [ItemResult(id=item.id, **own) for item, own in zip(asked.items, topics, strict=True)]
                return to_json(Classification(model=_name(classifier.bundle), results=results))

            return await asyncio.to_thread(answer)

    async def _classify_document(self, read: Callable[[], tuple[Document, Options]], language: Language) -> bytes:
        async with self._model.using() as answering:
            classifier = answering.classifier
            document, options, segmented, tokenised = await asyncio.to_thread(_tokenise_document, read, classifier)
            logits = await self._model.logits(answering, tokenised)

            def answer() -> bytes:
                topics = _topics(classifier, tokenised, logits, options, language)
                about = DocumentAbout(name=document.name, media_type=document.media_type, encoding=document.encoding)
                results = [
                    ParagraphResult(index=at.index, start=at.start, end=at.end, text=at.text, **own)
                    for at, own in zip(segmented.paragraphs, topics, strict=True)
                ]
                whole = document_topics(segmented.paragraphs, topics, classifier.bundle.taxonomy, language)
                return to_json(
                    DocumentClassification(
                        model=_name(classifier.bundle),
                        document=about,
                        results=results,
                        document_topics=whole,
                        dropped=list(segmented.dropped),
                    )
                )

            return await asyncio.to_thread(answer)

    def _tokenise_items(self, body: bytes, classifier: Classifier) -> tuple[ClassifyRequest, list[Tokenised]]:
        asked = read_items(body, self._limits)
        return asked, classifier.tokenise([item.text for item in asked.items])

    def _about_model(self) -> bytes:
        classifier, limits = self._model.classifier, self._limits
        return to_json(
            ModelAnswer(
                **_name(classifier.bundle),
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
            )
        )


def _tokenise_document(
    read: Callable[[], tuple[Document, Options]], classifier: Classifier
) -> tuple[Document, Options, Segmented, list[Tokenised]]:
    document, options = read()
    segmented = paragraphs(document.text)
    tokenised = classifier.tokenise([paragraph.text for paragraph in segmented.paragraphs])
    return document, options, segmented, tokenised


def _topics(
    classifier: Classifier,
    tokenised: Sequence[Tokenised],
    logits: Sequence[Logits],
    options: Options,
    language: Language,
) -> list[Topics]:
    return [
        topics_of(classifier.decode(own, text.tokens), classifier.bundle.taxonomy, options, language)
        for own, text in zip(logits, tokenised, strict=True)
    ]


def _name(bundle: Bundle) -> ModelName:
    return ModelName(name=bundle.name, version=bundle.version, taxonomy=bundle.taxonomy.version)


def _nothing_here(routes: Sequence[Route]) -> ASGIApp:
    async def nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
        for route in routes:
            if route.matches(scope)[0] is Match.PARTIAL:
                raise problems.method_not_allowed(Request(scope), sorted(route.methods or ()))
        raise problems.not_found(Request(scope))

    return nothing_here


def _language(request: Request) -> Language:
    return "en" if request.headers.get("accept-language", "").strip().lower().startswith("en") else "zh"


def _in(language: Language, content: bytes) -> Response:
    headers = {"Content-Language": language, "Vary": "Accept-Language"}
    return Response(content, headers=headers, media_type=JSON)


def _json(content: bytes) -> Response:
    return Response(content, media_type=JSON)
