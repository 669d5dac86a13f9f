"""A service that runs takes over what is promoted: no request fails, and each answer names the version that made it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from benchmarks.kills import renamed
from configs.settings import HOME, load_settings
from policy_topics.classifier import Classifier
from policy_topics.engine import Logits
from policy_topics.registry import Registry
from policy_topics.tokeniser import Tokenised, Window
from serve.app import create_app
from tests import tiny
from tests.service import EVERY_TOPIC, FARMING, Answer, serving, settings

SERVE = """
import sys
from configs.settings import load_settings
from serve.run import run
registry, port = sys.argv[1:]
run(load_settings(None, {"registry": registry, "serve.port": int(port), "engine.threads": 1}))
"""
BODY = {"items": [{"text": FARMING}, {"text": FARMING * 3}]}


@dataclass
class Promoted:
    """What a service loads, and the mark by which it sees a change."""

    what: Classifier | Exception
    mark: int = 0

    def load(self) -> Classifier:
        if isinstance(self.what, Exception):
            raise self.what
        return self.what

    def change(self, what: Classifier | Exception) -> None:
        self.what = what
        self.mark += 1


@dataclass
class Held:
    """A classifier whose engine waits until it is let go."""

    classifier: Classifier
    go: threading.Event = field(default_factory=threading.Event)
    entered: threading.Event = field(default_factory=threading.Event)
    requests: int = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.classifier, name)

    def tokenise(self, texts: Sequence[str]) -> list[Tokenised]:
        self.requests += 1
        return self.classifier.tokenise(texts)

    def run(self, windows: Sequence[Window]) -> Logits:
        self.entered.set()
        assert self.go.wait(20)
        return self.classifier.run(windows)


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    """A model with one topic more."""
    folder = tiny.tiny_bundle(tmp_path_factory.mktemp("wide") / "wide", tiny.with_another_topic())
    return Classifier.load(folder, load_settings().engine)


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve.model.LOOK_SECONDS", 0.01)


@pytest.fixture
def promoted(classifier: Classifier) -> Promoted:
    return Promoted(classifier)


@pytest.fixture
def app(promoted: Promoted) -> Starlette:
    return create_app(settings(), promoted.load, lambda: promoted.mark)


@pytest.fixture
def following(app: Starlette) -> Iterator[TestClient]:
    yield from serving(app)


def version(client: TestClient | httpx.Client) -> str:
    return str(client.get("/model").json()["version"])


def until(happened: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def counts(client: TestClient) -> tuple[int, int]:
    """Takeovers that were done, and that failed."""
    text = client.get("/metrics").text
    found = [
        line.rpartition(" ")[2] for result in ("done", "failed") for line in text.splitlines()
        if line.startswith(f'policy_topics_takeovers_total{{result="{result}"}}')
    ]  # fmt: skip
    return int(float(found[0])), int(float(found[1]))


class TestTakeover:
    def test_another_model_answers_everywhere(
        self, following: TestClient, promoted: Promoted, classifier: Classifier, wide: Classifier
    ) -> None:
        assert version(following) == classifier.bundle.version
        promoted.change(wide)
        until(lambda: version(following) == wide.bundle.version)
        answer = following.post("/classify", json={**BODY, "options": EVERY_TOPIC}).json()
        assert answer["model"] == {"name": "tiny", "version": wide.bundle.version, "taxonomy": 2}
        assert len(answer["results"][0]["topics"]) == len(classifier.bundle.taxonomy.topics) + 1
        assert following.get("/topics").json()["topics"][-1]["id"] == "deep_sea"
        metrics = following.get("/metrics").text
        assert f'policy_topics_model{{name="tiny",version="{wide.bundle.version}"}} 1.0' in metrics
        assert classifier.bundle.version not in metrics
        assert counts(following) == (1, 0)

    def test_what_cannot_be_loaded_leaves_the_old_one_and_is_told(
        self,
        following: TestClient,
        promoted: Promoted,
        classifier: Classifier,
        wide: Classifier,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        promoted.change(RuntimeError("the file is torn"))
        until(lambda: counts(following) == (0, 1))
        assert "goes on answering" in caplog.text
        assert "the file is torn" in caplog.text
        assert following.get("/readyz").status_code == following.get("/livez").status_code == 200
        answer = following.post("/classify", json=BODY)
        assert answer.json()["model"]["version"] == classifier.bundle.version
        promoted.change(wide)
        until(lambda: counts(following) == (1, 1))
        assert version(following) == wide.bundle.version

    def test_what_loads_but_cannot_run_leaves_the_old_one(
        self, following: TestClient, promoted: Promoted, classifier: Classifier
    ) -> None:
        class Torn:
            def __getattr__(self, name: str) -> Any:
                return getattr(classifier, name)

            def classify(self, texts: Sequence[str]) -> None:
                raise ValueError("shapes do not fit")

        promoted.change(cast(Classifier, Torn()))
        until(lambda: counts(following) == (0, 1))
        assert following.post("/classify", json=BODY).status_code == 200

    def test_requests_under_way_end_on_the_model_they_began_with(
        self, following: TestClient, promoted: Promoted, classifier: Classifier, wide: Classifier
    ) -> None:
        held = Held(classifier)
        promoted.change(cast(Classifier, held))
        until(lambda: counts(following) == (1, 0))
        body, document = {**BODY, "options": EVERY_TOPIC}, {"text": FARMING, "options": EVERY_TOPIC}
        with ThreadPoolExecutor() as pool:
            old = [pool.submit(following.post, "/classify", json=body) for _ in range(3)]
            old.append(pool.submit(following.post, "/classify_document", json=document))
            assert held.entered.wait(20)
            until(lambda: held.requests == 4)
            promoted.change(wide)
            until(lambda: version(following) == wide.bundle.version)
            assert made_by(following.post("/classify", json=body)) == (wide.bundle.version, 34)
            assert not any(each.done() for each in old)
            held.go.set()
            assert {made_by(each.result()) for each in old} == {(classifier.bundle.version, 33)}
        until(lambda: engine_threads() == 1)

    def test_the_engine_of_the_old_model_ends_where_nobody_uses_it(
        self, following: TestClient, promoted: Promoted, classifier: Classifier, wide: Classifier
    ) -> None:
        for number, model in enumerate([wide, classifier] * 3):
            following.post("/classify", json=BODY)
            promoted.change(model)
            until(lambda: counts(following)[0] == number + 1)  # noqa: B023
        following.post("/classify", json=BODY)
        until(lambda: engine_threads() == 1)


def made_by(answer: Answer) -> tuple[str, int]:
    """The version that an answer names, and how many topics it knows."""
    assert answer.status_code == 200
    body = answer.json()
    return body["model"]["version"], len(body["results"][0]["topics"])


def engine_threads() -> int:
    return sum(thread.name.startswith("engine") for thread in threading.enumerate())


class TestService:
    def test_it_drops_no_request_while_versions_are_promoted_and_rolled_back(
        self, tiny_bundle: Path, tmp_path: Path
    ) -> None:
        registry = Registry(tmp_path / "registry")
        first, second = (registry.add(renamed(tiny_bundle, tmp_path / name, name)) for name in ("a", "b"))
        before = registry.promote(registry.add(tiny_bundle))
        with service(registry, tmp_path) as url, httpx.Client(base_url=url) as client:
            steps: list[tuple[Callable[[], str], str]] = [
                (lambda: registry.promote(first), first),
                (lambda: registry.promote(second), second),
                (registry.rollback, first),
                (registry.rollback, before),
            ]
            assert version(client) == before
            with asked_all_the_time(url, clients=6) as asking:
                for change, expected in steps:
                    assert change() == expected
                    until(lambda: version(client) == expected, 60)  # noqa: B023
                    seen = len(asking)
                    until(lambda: len(asking) >= seen + 20, 60)  # noqa: B023
            assert {status for status, _ in asking} == {200}
            assert {made for _, made in asking} == {before, first, second}


@contextmanager
def asked_all_the_time(url: str, clients: int) -> Iterator[list[tuple[int, str]]]:
    """Requests, one after the other from each client; what comes in is (status, version). A broken one raises."""
    answers: list[tuple[int, str]] = []
    stop = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=url, timeout=60) as client:
            while not stop.is_set():
                answer = client.post("/classify", json=BODY)
                answers.append((answer.status_code, answer.json().get("model", {}).get("version", answer.text)))

    with ThreadPoolExecutor(clients) as pool:
        asking: list[Future[None]] = [pool.submit(ask) for _ in range(clients)]
        try:
            yield answers
        finally:
            stop.set()
    for each in asking:
        each.result()


@contextmanager
def service(registry: Registry, folder: Path) -> Iterator[str]:
    """The real one, in a process of its own; comes as its address once it is ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(registry.folder), str(port)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(HOME), "BENTOML_HOME": str(folder / "bentoml")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        until(lambda: is_ready(url), 60)
        yield url
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.TransportError:
        return False
