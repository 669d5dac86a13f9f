"""SIGTERM: what the service has taken it finishes, what comes then it refuses, and it ends by itself."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from configs.settings import HOME
from policy_topics.classifier import Classifier
from serve.shutdown import gentle_end
from tests.service import FARMING, problem
from tests.test_api_faults import Gated, asking, serving_with, until

SERVE = """
import sys
from configs.settings import load_settings
from serve.run import run
run(load_settings(None, {"bundle": sys.argv[1], "serve.port": int(sys.argv[2]), "engine.threads": 1}))
"""
BODY = {"items": [{"text": FARMING}]}
LONG = {"items": [{"text": FARMING * 20}] * 80}
"""Four of these keep even the tiny model busy for a while."""


def test_what_is_under_way_ends_and_what_comes_is_refused(classifier: Classifier) -> None:
    gated = Gated(classifier)
    gated.gate.set()

    async def scene() -> None:
        app = serving_with(gated)
        async with asking(app) as ask:
            gated.gate.clear()
            gated.entered.clear()
            taken = asyncio.create_task(ask.post("/classify", json=BODY))
            await until(gated.entered.is_set)
            draining = asyncio.create_task(app.state.model.drain())
            await asyncio.sleep(0)
            problem(await ask.get("/readyz"), 503, "not_ready")
            refused = await ask.post("/classify", json=BODY)
            problem(refused, 503, "not_ready")
            assert int(refused.headers["retry-after"]) >= 1
            assert (await ask.get("/livez")).status_code == 200
            assert not draining.done()
            gated.gate.set()
            assert (await taken).status_code == 200
            await draining

    asyncio.run(scene())


def test_sigterm_waits_for_the_drain_and_then_does_what_it_did_before() -> None:
    seen: list[str] = []
    before = signal.signal(signal.SIGTERM, lambda *_: seen.append("ended"))

    async def drain() -> None:
        await asyncio.sleep(0.01)
        seen.append("drained")

    async def scene() -> None:
        async with gentle_end(drain):
            signal.raise_signal(signal.SIGTERM)
            await until(lambda: "ended" in seen)

    try:
        asyncio.run(scene())
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == ["drained", "ended"]


class Server:
    """The real service in processes of its own: BentoML's supervisor, and the worker it looks after."""

    def __init__(self, bundle: Path, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(bundle), str(port)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(HOME), "BENTOML_HOME": str(folder / "bentoml")},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def wait_until_ready(self) -> None:
        end = time.monotonic() + 120
        while self.status("/readyz") != 200:
            assert time.monotonic() < end and self.process.poll() is None, "the service did not get ready"
            time.sleep(0.05)

    def status(self, path: str) -> int | None:
        """Of an answer; None if there is no connection."""
        try:
            return httpx.get(self.url + path, timeout=60).status_code
        except httpx.TransportError:
            return None

    def worker(self) -> psutil.Process:
        (worker,) = [
            each
            for each in psutil.Process(self.process.pid).children()
            if "_bentoml_impl.worker.service" in each.cmdline()
        ]
        return worker

    def kill(self) -> None:
        if self.process.poll() is None:  # the worker has a session of its own, and would stay
            for each in (*psutil.Process(self.process.pid).children(recursive=True), self.process):
                each.kill()
        self.process.wait()


@pytest.fixture
def server(tiny_bundle: Path, tmp_path: Path) -> Iterator[Server]:
    running = Server(tiny_bundle, tmp_path)
    try:
        running.wait_until_ready()
        yield running
    finally:
        running.kill()


def test_the_server_finishes_what_it_took_and_exits_with_0(server: Server) -> None:
    with ThreadPoolExecutor(4) as pool, httpx.Client(base_url=server.url, timeout=120) as client:
        taken = [pool.submit(httpx.post, f"{server.url}/classify", json=LONG, timeout=120) for _ in range(4)]
        while "policy_topics_queue_tokens 0.0" in client.get("/metrics").text:
            time.sleep(0.01)
        server.process.send_signal(signal.SIGTERM)
        statuses = {server.status("/readyz")}
        while not all(each.done() for each in taken) and 503 not in statuses:
            statuses.add(server.status("/readyz"))
        assert 503 in statuses
        assert httpx.post(f"{server.url}/classify", json=BODY, timeout=60).status_code == 503
        answers = [each.result() for each in taken]
    assert {answer.status_code for answer in answers} == {200}
    assert {len(answer.json()["results"]) for answer in answers} == {len(LONG["items"])}
    assert server.process.wait(60) == 0
    assert server.status("/livez") is None


def test_a_killed_worker_comes_back_and_answers_as_before(server: Server) -> None:
    before = httpx.post(f"{server.url}/classify", json=BODY, timeout=60).json()
    wrong: list[object] = []
    stop = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=server.url, timeout=120) as client:
            while not stop.is_set():
                try:
                    answer = client.post("/classify", json=BODY)
                except httpx.TransportError:  # of the worker that was killed
                    continue
                if answer.status_code not in (200, 503) or (answer.status_code == 200 and answer.json() != before):
                    wrong.append(answer.text)

    with ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(ask)
        try:
            killed = server.worker()
            killed.kill()
            killed.wait(60)
            server.wait_until_ready()
            assert server.worker().pid != killed.pid
            assert httpx.post(f"{server.url}/classify", json=BODY, timeout=60).json() == before
        finally:
            stop.set()
    assert not wrong
