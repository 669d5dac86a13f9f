"""Traces of requests: their spans, whose trace they are part of, and that there are none unless they are asked for."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from queue import Queue

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from configs.settings import SettingsError, load_settings
from policy_topics.classifier import Classifier
from serve.app import create_app
from serve.observation.traces import check_tracing
from tests.listening import listening
from tests.service import DIGITAL, FARMING, classify, serving, settings

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
STAGES = ["read", "tokenise", "wait", "run", "decode"]


class Collector:
    """Takes traces as a collector does."""

    def __init__(self) -> None:
        self.bodies: Queue[bytes] = Queue()
        self.app = Starlette(routes=[Route("/v1/traces", self._take, methods=["POST"])])

    async def _take(self, request: Request) -> Response:
        self.bodies.put(await request.body())
        return Response()

    def spans(self) -> list[Span]:
        """Of one sending, by the time of their beginning."""
        sent = ExportTraceServiceRequest.FromString(self.bodies.get(timeout=20))
        spans = [span for each in sent.resource_spans for scope in each.scope_spans for span in scope.spans]
        return sorted(spans, key=lambda span: (span.start_time_unix_nano, bool(span.parent_span_id)))


@pytest.fixture
def collector() -> Collector:
    return Collector()


@pytest.fixture
def traced(classifier: Classifier, collector: Collector, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")  # milliseconds
    with listening(collector.app) as url:
        yield from serving(create_app(settings(trace_endpoint=f"{url}/v1/traces"), lambda: classifier))


def test_a_request_is_a_span_with_its_stages_below(traced: TestClient, collector: Collector) -> None:
    classify(traced, FARMING, DIGITAL)
    root, *stages = collector.spans()
    assert root.name == "POST /classify"
    assert [span.name for span in stages] == STAGES
    assert {span.parent_span_id for span in stages} == {root.span_id}
    for before, after in pairwise(stages):
        assert before.end_time_unix_nano == after.start_time_unix_nano
    assert root.start_time_unix_nano <= stages[0].start_time_unix_nano
    assert stages[-1].end_time_unix_nano == root.end_time_unix_nano


def test_it_goes_on_the_trace_of_its_client(
    traced: TestClient, collector: Collector, capfd: pytest.CaptureFixture[str]
) -> None:
    capfd.readouterr()
    traced.get("/topics", headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
    (root,) = collector.spans()
    assert (root.trace_id.hex(), root.parent_span_id.hex()) == (TRACE, PARENT)
    assert json.loads(capfd.readouterr().err)["trace"] == TRACE


def test_a_client_that_samples_others_gets_none(traced: TestClient, collector: Collector) -> None:
    traced.get("/topics", headers={"traceparent": f"00-{TRACE}-{PARENT}-00"})
    traced.get("/nowhere")
    assert [span.name for span in collector.spans()] == ["GET other"]


def test_no_text_is_in_a_trace(traced: TestClient, collector: Collector) -> None:
    traced.post("/classify", json={"items": [{"text": "机密", "机密": 1}]}, params={"q": "机密"})
    body = collector.bodies.get(timeout=20)
    assert b"invalid" in body
    assert "机密".encode() not in body


def test_without_tracing_the_log_has_the_trace_of_the_client(
    client: TestClient, capfd: pytest.CaptureFixture[str]
) -> None:
    for header, trace in ((f"00-{TRACE}-{PARENT}-01", TRACE), ("", None), ("nonsense", None), (f"00-{'0' * 32}", None)):
        capfd.readouterr()
        client.get("/topics", headers={"traceparent": header})
        assert json.loads(capfd.readouterr().err)["trace"] == trace


def test_without_tracing_nothing_of_it_is_even_imported() -> None:
    code = "import sys, serve.app; print([name for name in sys.modules if name.startswith('opentelemetry')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"


def test_a_missing_package_is_named_before_anything_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    check_tracing(settings().serve)
    check_tracing(settings(trace_endpoint="http://127.0.0.1:4318/v1/traces").serve)
    monkeypatch.setattr("serve.observation.traces.find_spec", lambda _: None)
    with pytest.raises(SettingsError, match=r"\.venv/bin/pip install -c constraints\.txt -e '\.\[tracing\]'"):
        check_tracing(settings(trace_endpoint="http://127.0.0.1:4318/v1/traces").serve)


def test_an_endpoint_must_be_a_url() -> None:
    with pytest.raises(SettingsError, match="trace_endpoint"):
        load_settings(None, {"serve.trace_endpoint": "collector:4317"})
