"""What Prometheus sees of the service.

BentoML's own metrics are off: their `endpoint` label is the path as the client sent it, so that each address that a
scanner tries stays in memory for good. Here paths that do not exist are one label.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator, Sequence
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from policy_topics.bundle import Bundle
from policy_topics.classifier import Prediction
from policy_topics.engine import Logits, padded
from policy_topics.reference import reference_of
from policy_topics.tokeniser import Window
from serve.batcher import Run
from serve.observation.drift import Drift
from serve.observation.record import Record, Stage
from serve.problems import CODES

MEDIA_TYPE = CONTENT_TYPE_LATEST

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_TOKENS = (64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


class _Model(Collector):
    """The model that answers. No `Gauge`: in a worker of BentoML those cannot let go of a label."""

    now: tuple[str, str] | None = None
    """Name and version."""

    def collect(self) -> Iterator[Metric]:
        gauge = GaugeMetricFamily("policy_topics_model", "1 for the model that answers.", labels=["name", "version"])
        if self.now:
            gauge.add_metric(self.now, 1)
        yield gauge


class Metrics:
    """Counters of one process. Its methods may be called in any thread."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests_metrics()
        self._batch_metrics()
        self._answer_metrics()
        self._model_metrics()

    def answering(self, bundle: Bundle, waiting_tokens: Callable[[], int]) -> None:
        """Show the model that answers from now on, and its queue."""
        self._model.now = bundle.name, bundle.version
        self._queue.set_function(waiting_tokens)
        for topic in bundle.taxonomy.ids:
            self._topics.labels(topic)
        self._drift.refer_to(reference_of(bundle.metrics()))

    def taken_over(self, done: bool) -> None:
        """Count a promotion or rollback."""
        self._takeovers.labels("done" if done else "failed").inc()

    def measured(self, run: Run, batch_tokens: int) -> Run:
        """`run`, counted and timed. `batch_tokens`: what a batch may hold, padding included."""

        def counted(windows: Sequence[Window]) -> Logits:
            with self._batch_seconds.time():
                logits = run(windows)
            tokens = sum(map(len, windows))
            whole = len(windows) * padded(max(map(len, windows)))
            self._windows.inc(len(windows))
            self._tokens.inc(tokens)
            self._padding.inc(whole - tokens)
            self._batch_tokens.observe(tokens)
            self._batch_fill.observe(whole / batch_tokens)
            return logits

        return counted

    def predicted(self, predictions: Sequence[Prediction], bundle: Bundle) -> None:
        """Count what a model said of paragraphs, whatever part of it their client asked for."""
        for topic, number in collections.Counter(t.id for each in predictions for t in each.topics).items():
            self._topics.labels(topic).inc(number)
        for each in predictions:
            if each.topics:
                self._confidence.observe(each.topics[0].probability)
        self._paragraphs.inc(len(predictions))
        self._without_topic.inc(sum(not each.topics for each in predictions))
        self._long.inc(sum(each.windows > 1 for each in predictions))
        if (bundle.name, bundle.version) == self._model.now:
            self._drift.add(predictions)

    def answered(self, record: Record) -> None:
        """Count a request and the time it took."""
        self._requests.labels(record.path, str(record.status)).inc()
        self._seconds.labels(record.path).observe(record.seconds)
        for stage, start, end in record.stages():
            self._stage_seconds[stage].observe(end - start)
        if record.code:
            self._errors.labels(record.code).inc()

    def exposition(self) -> bytes:
        """Every metric in Prometheus' text form."""
        return generate_latest(self._registry)

    def _requests_metrics(self) -> None:
        self._requests = self._counter("requests", "Requests answered.", ["path", "status"])
        self._seconds = self._histogram(
            "request_seconds", "From a request's arrival to its answer.", _SECONDS, ["path"]
        )
        stage_seconds = self._histogram(
            "stage_seconds",
            "Parts of a request's time: read (body to texts), segment, tokenise, wait (for the model), run, decode.",
            _SECONDS,
            ["stage"],
        )
        self._stage_seconds = {stage: stage_seconds.labels(stage) for stage in get_args(Stage)}
        self._errors = self._counter("errors", "Requests answered with a problem, by its code.", ["code"])
        for code in CODES:  # there from the start, so that an alert sees the first one rise
            self._errors.labels(code)

    def _batch_metrics(self) -> None:
        self._windows = self._counter("windows", "Windows that the model has run.")
        self._tokens = self._counter("tokens", "Tokens that the model has run, without padding.")
        self._padding = self._counter("padding_tokens", "Tokens that filled up batches.")
        self._batch_seconds = self._histogram("batch_seconds", "One batch through the model.", _SECONDS)
        self._batch_tokens = self._histogram("batch_tokens", "Tokens in one batch, without padding.", _TOKENS)
        self._batch_fill = self._histogram(
            "batch_fill", "Tokens in one batch, padding included, over engine.batch_tokens.", _SHARES
        )
        self._queue = Gauge("policy_topics_queue_tokens", "Tokens that wait for the model.", registry=self._registry)

    def _answer_metrics(self) -> None:
        self._paragraphs = self._counter("paragraphs", "Paragraphs answered.")
        self._without_topic = self._counter("paragraphs_without_topic", "Those that were given no topic.")
        self._long = self._counter("paragraphs_long", "Those read in several windows; none is cut off.")
        self._topics = self._counter("topics", "Paragraphs that were given a topic.", ["topic"])
        self._confidence = self._histogram(
            "confidence", "Probability of the primary topic, where there is one.", _SHARES
        )
        self._drift = Drift()
        self._registry.register(self._drift)

    def _model_metrics(self) -> None:
        self._model = _Model()
        self._registry.register(self._model)
        self._takeovers = self._counter(
            "takeovers", "Promotions and rollbacks that were taken over, or failed to be.", ["result"]
        )
        for result in ("done", "failed"):  # there from the start, as the errors are
            self._takeovers.labels(result)

    def _counter(self, name: str, meaning: str, labels: Sequence[str] = ()) -> Counter:
        return Counter(f"policy_topics_{name}", meaning, labels, registry=self._registry)

    def _histogram(self, name: str, meaning: str, buckets: Sequence[float], labels: Sequence[str] = ()) -> Histogram:
        return Histogram(f"policy_topics_{name}", meaning, labels, buckets=buckets, registry=self._registry)
