"""The rate limit: how many requests a client has, and what is kept of it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from policy_topics.classifier import Classifier
from serve.access import ratelimit
from serve.access.keys import add_key
from serve.access.ratelimit import Buckets
from serve.app import create_app
from tests.service import problem, serving, settings


class Clock:
    """Time that goes on when it is told to."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.mark.parametrize("per_minute", [1, 7, 60, 999])
def test_a_bucket_holds_the_requests_of_a_minute_and_no_more(clock: Clock, per_minute: int) -> None:
    buckets = Buckets(per_minute, clock)
    assert [buckets.take("a") for _ in range(per_minute)] == [0] * per_minute
    assert buckets.take("a") == pytest.approx(60 / per_minute)


def test_a_bucket_fills_evenly(clock: Clock) -> None:
    buckets = Buckets(60, clock)
    for _ in range(60):
        buckets.take("a")
    clock.now += 3
    assert [buckets.take("a") == 0 for _ in range(5)] == [True, True, True, False, False]


def test_whoever_waits_as_long_as_told_is_served(clock: Clock) -> None:
    buckets = Buckets(7, clock)
    while not (wait := buckets.take("a")):
        pass
    clock.now += math.ceil(wait)
    assert buckets.take("a") == 0


def test_refused_requests_cost_nothing(clock: Clock) -> None:
    buckets = Buckets(2, clock)
    waits = [buckets.take("a") for _ in range(50)]
    assert waits[2:] == [pytest.approx(30)] * 48


def test_each_client_has_a_bucket(clock: Clock) -> None:
    buckets = Buckets(1, clock)
    assert (buckets.take("a"), buckets.take("b")) == (0, 0)
    assert buckets.take("a") > 0 and buckets.take("b") > 0


def test_idle_buckets_are_forgotten(clock: Clock) -> None:
    buckets = Buckets(10, clock)
    for client in range(1000):
        buckets.take(str(client))
        buckets.take("busy")
        clock.now += 0.5
    assert len(buckets) < 130
    clock.now += 60
    buckets.take("late")
    assert len(buckets) == 1


def test_however_many_clients_there_are_memory_is_bounded(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ratelimit, "MOST_CLIENTS", 100)
    buckets = Buckets(1, clock)
    for client in range(1000):
        buckets.take(str(client))
    assert len(buckets) == 100
    assert buckets.take("999") > 0


class TestService:
    def test_too_many_requests_get_429_until_the_time_it_says(self, classifier: Classifier) -> None:
        for client in serving(create_app(settings(requests_per_minute=3), lambda: classifier)):
            assert [client.get("/topics").status_code for _ in range(3)] == [200, 200, 200]
            answer = client.post("/classify", json={"items": []})
            problem(answer, 429, "rate_limited")
            assert 1 <= int(answer.headers["retry-after"]) <= 20

    def test_what_machines_ask_is_not_counted(self, classifier: Classifier) -> None:
        for client in serving(create_app(settings(requests_per_minute=1), lambda: classifier)):
            for path in ("/livez", "/readyz", "/metrics", "/docs.json", "/"):
                assert [client.get(path).status_code for _ in range(3)] == [200, 200, 200]

    def test_without_a_limit_nothing_is_counted(self, client: TestClient) -> None:
        assert {client.get("/topics").status_code for _ in range(100)} == {200}

    def test_a_bucket_is_a_keys_wherever_it_is_used(self, classifier: Classifier, tmp_path: Path) -> None:
        file = tmp_path / "keys.json"
        a, b = (add_key(file, name)[1] for name in "ab")
        app = create_app(settings(requests_per_minute=1, keys="required", keys_file=file), lambda: classifier)
        for _ in serving(app):
            here, there = (TestClient(app, client=(f"203.0.113.{n}", 50000)) for n in (1, 2))
            assert here.get("/topics", headers={"X-API-Key": a}).status_code == 200
            problem(there.get("/topics", headers={"X-API-Key": a}), 429, "rate_limited")
            assert there.get("/topics", headers={"X-API-Key": b}).status_code == 200

    def test_whoever_has_no_key_takes_nothing_from_those_who_have(self, classifier: Classifier, tmp_path: Path) -> None:
        file = tmp_path / "keys.json"
        _, key = add_key(file, "a")
        app = create_app(settings(requests_per_minute=1, keys="required", keys_file=file), lambda: classifier)
        for client in serving(app):
            for _ in range(5):
                problem(client.get("/topics"), 401, "unauthorized")
            assert client.get("/topics", headers={"X-API-Key": key}).status_code == 200

    def test_without_keys_a_bucket_is_an_addresses_or_its_network(self, classifier: Classifier) -> None:
        app = create_app(settings(requests_per_minute=1, keys="off"), lambda: classifier)
        for _ in serving(app):

            def ask(address: str) -> int:
                status: int = TestClient(app, client=(address, 50000)).get("/topics").status_code
                return status

            assert [ask(f"203.0.113.{n}") for n in (1, 2, 1)] == [200, 200, 429]
            mapped = [f"::ffff:198.51.100.{n}" for n in (1, 2, 1)]  # as a listener for both protocols sees IPv4
            assert [ask(address) for address in (*mapped, "198.51.100.2")] == [200, 200, 429, 429]
            assert [ask(address) for address in ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1")] == [200, 429, 200]

    def test_the_openapi_document_has_the_answer(self, client: TestClient) -> None:
        answers = client.get("/docs.json").json()["paths"]["/topics"]["get"]["responses"]
        assert "rate_limited" in answers["429"]["description"]
        assert "Retry-After" in answers["429"]["headers"]
