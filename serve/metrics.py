"""What Prometheus sees of the service.

BentoML's own metrics are off: their `endpoint` label is the path as the client sent it, so that each address that a
scanner tries stays in memory for good. Here paths that do not exist are one label.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from policy_topics.classifier import Window
from policy_topics.engine import Logits
from serve.batcher import Run

MEDIA_TYPE = CONTENT_TYPE_LATEST
QUIET = frozenset({"/livez", "/readyz", "/metrics"})
"""Paths that are asked for all the time and say nothing of the service's users."""


class Metrics:
    """Counters of one process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "policy_topics_requests", "Requests answered.", ["path", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "policy_topics_request_seconds",
            "From a request's arrival to its answer.",
            ["path"],
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
            registry=self._registry,
        )
        self._windows = Counter("policy_topics_windows", "Windows that the model has run.", registry=self._registry)
        self._tokens = Counter("policy_topics_tokens", "Tokens that the model has run.", registry=self._registry)
        self._batch_seconds = Histogram(
            "policy_topics_batch_seconds",
            "One batch through the model.",
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
            registry=self._registry,
        )

        self._queue = Gauge("policy_topics_queue_tokens", "Tokens that wait for the model.", registry=self._registry)
        self._model = Gauge(
            "policy_topics_model", "1 for the model that answers.", ["name", "version"], registry=self._registry
        )
        self._takeovers = Counter(
            "policy_topics_takeovers",
            "Promotions and rollbacks that were taken over, or failed to be.",
            ["result"],
            registry=self._registry,
        )
        for result in ("done", "failed"):  # there from the start, so that an alert sees the first one rise
            self._takeovers.labels(result)

    def answering(self, name: str, version: str, waiting_tokens: Callable[[], int]) -> None:
        """Show the model that answers from now on, and its queue."""
        self._model.clear()
        self._model.labels(name, version).set(1)
        self._queue.set_function(waiting_tokens)

    def taken_over(self, done: bool) -> None:
        """Count a promotion or rollback."""
        self._takeovers.labels("done" if done else "failed").inc()

    def measured(self, run: Run) -> Run:
        """`run`, counted and timed."""

        def counted(windows: Sequence[Window]) -> Logits:
            with self._batch_seconds.time():
                logits = run(windows)
            self._windows.inc(len(windows))
            self._tokens.inc(sum(map(len, windows)))
            return logits

        return counted

    def answered(self, path: str, status: int, seconds: float) -> None:
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def exposition(self) -> bytes:
        """Every metric in Prometheus' text form."""
        return generate_latest(self._registry)


class MeasureRequests:
    """ASGI middleware that counts and times the requests of `paths`, and all others under one name."""

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: Collection[str]) -> None:
        self._app = app
        self._metrics = metrics
        self._paths = frozenset(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in QUIET:
            return await self._app(scope, receive, send)
        status = 500
        start = time.perf_counter()

        async def noted(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            path = scope["path"] if scope["path"] in self._paths else "other"
            self._metrics.answered(path, status, time.perf_counter() - start)
