"""The app: paths, what a request goes through on its way to one, what starts and ends with the service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.routing import Match, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from configs.settings import Settings
from policy_topics.classifier import Classifier
from serve import problems
from serve.access.middleware import access
from serve.endpoints import Endpoints
from serve.explain import Explain
from serve.feedback.endpoints import Feedback
from serve.limits import Limits
from serve.model import Model
from serve.observation.logs import log_request
from serve.observation.metrics import Metrics
from serve.observation.record import Recording, Sink
from serve.observation.traces import Traces, note_trace, to_collector
from serve.page_files import page, page_file
from serve.problems import Problem
from serve.shutdown import gentle_end
from serve.uploads.pool import Uploads


def create_app(
    settings: Settings, load: Callable[[], Classifier], mark: Callable[[], object] = lambda: None
) -> Starlette:
    """The app. `load` is called in a thread when the app starts; until the model has run, requests get 503.

    It is called again whenever `mark` comes to something else; what it gives takes over between two requests.
    """
    counters = Metrics()
    model = Model(settings, load, mark, counters)
    uploads = Uploads(settings.serve)
    feedback = Feedback(settings, model)
    endpoints = Endpoints(settings, model, uploads, feedback, counters)
    routes = [
        Route("/", page),
        Route("/page/{file}", page_file),
        Route("/classify", endpoints.classify, methods=["POST"]),
        Route("/classify_document", endpoints.classify_document, methods=["POST"]),
        Route("/feedback", feedback.take, methods=["POST"]),
        Route("/queue", feedback.offer),
        Route("/read_document", endpoints.read_document, methods=["POST"]),
        Route("/explain", Explain(model, settings.serve).answer, methods=["POST"]),
        Route("/topics", endpoints.topics),
        Route("/model", endpoints.about_model),
        Route("/livez", endpoints.livez),
        Route("/readyz", endpoints.readyz),
        Route("/metrics", endpoints.metrics),
        Route("/docs.json", endpoints.docs),
    ]
    serve = settings.serve
    traces = Traces(to_collector(serve.trace_endpoint)) if serve.trace_endpoint else None
    sinks: list[Sink] = [counters.answered, traces or note_trace, *([log_request] if serve.log == "json" else [])]
    bounds = {"max_body_bytes": serve.max_body_bytes, "timeout_seconds": serve.timeout_seconds}

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        model.start()
        uploads.start()
        async with gentle_end(model.drain):
            yield
        await feedback.close()
        await model.close()
        uploads.close()
        if traces:
            await asyncio.to_thread(traces.close)

    app = Starlette(
        # Under BentoML an app gets only what one of its routes matches: the last one keeps all errors ours.
        routes=[*routes, Mount("/", _nothing_here(routes))],
        middleware=[
            Middleware(Recording, paths=[route.path for route in routes], sinks=sinks),
            *access(serve),
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


def _nothing_here(routes: Sequence[Route]) -> ASGIApp:
    async def nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
        for route in routes:
            if route.matches(scope)[0] is Match.PARTIAL:
                raise problems.method_not_allowed(Request(scope), sorted(route.methods or ()))
        raise problems.not_found(Request(scope))

    return nothing_here
