"""Traces of requests, for an OpenTelemetry collector: one span a request, and one for each of its stages below it.

They are made of a request's `Record` after its end, so that while it is answered tracing costs nothing. BentoML's
middleware has no part in it: that one keeps each request's span until its timeout is over.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import TYPE_CHECKING

from configs.settings import ServeSettings, SettingsError
from policy_topics.errors import how_to_install
from serve.observation.record import Record

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

SERVICE = "policy-topics"

_SENDER = "opentelemetry.exporter.otlp"
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
"""The header of W3C Trace Context; an id of zeros alone is none."""


def note_trace(record: Record) -> None:
    """Note the trace that the client asked in, if any, so that the log has it with tracing off, too."""
    if record.traceparent and (found := _TRACEPARENT.match(record.traceparent)):
        record.trace_id = found[1]


def check_tracing(serve: ServeSettings) -> None:
    """Refuse to serve where traces are wanted and cannot be sent.

    Raises:
        SettingsError: so it is; the message says what to install.
    """
    if serve.trace_endpoint is not None and find_spec(_SENDER) is None:
        raise SettingsError(
            "serve.trace_endpoint is set, and the package that sends traces is not installed; "
            f"{how_to_install('tracing')}"
        )


def to_collector(endpoint: str) -> SpanExporter:
    """Sends spans by OTLP over HTTP to a URL."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=endpoint)


class Traces:
    """Hands spans on in a thread of its own; what cannot be handed on in time is dropped."""

    def __init__(self, exporter: SpanExporter) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        # Not the provider of the process: others' instruments report to that one.
        self._provider = TracerProvider(resource=Resource.create({"service.name": SERVICE}), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("policy_topics.serve")
        self._propagator = TraceContextTextMapPropagator()

    def __call__(self, record: Record) -> None:
        """Make the spans of a request that has been answered, in its client's trace if it named one."""
        from opentelemetry.context import Context
        from opentelemetry.trace import SpanKind, Status, StatusCode, format_trace_id, set_span_in_context

        parent = self._propagator.extract({"traceparent": record.traceparent}, Context())
        attributes: dict[str, str | int] = {
            "http.request.method": record.method,
            "http.route": record.path,
            "http.response.status_code": record.status,
            "policy_topics.paragraphs": record.paragraphs,
            "policy_topics.tokens": record.tokens,
            **({"error.type": record.code} if record.code else {}),
        }  # named by OpenTelemetry's semantic conventions for HTTP
        name = f"{record.method} {record.path}"
        span = self._tracer.start_span(name, parent, SpanKind.SERVER, {**attributes}, start_time=record.began)
        if record.status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        inside = set_span_in_context(span, Context())
        for stage, start, end in record.stages():
            part = self._tracer.start_span(stage, inside, start_time=_at(record, start))
            part.end(_at(record, end))
        span.end(_at(record, record.seconds))
        record.trace_id = format_trace_id(span.get_span_context().trace_id)

    def close(self) -> None:
        """Hand on what waits."""
        self._provider.shutdown()


def _at(record: Record, seconds: float) -> int:
    return record.began + int(seconds * 1e9)
