"""Kills a service (SIGKILL) while clients send corrections: every acknowledged one must be in the store, once.

    python -m benchmarks.feedback [--clients 200] [--each 10] [--url postgresql+psycopg://…] [--bundle FOLDER]

Each client sends its corrections one after the other, and each one until it is acknowledged, always with the same id.
When half of all are, the service with all its processes is killed; what was acknowledged must be in the store then. It
is started again, and at the end the store must hold every correction exactly once.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import aiohttp
import numpy as np
import psutil  # type: ignore[import-untyped]

from configs.settings import EMBEDDED, HOME
from policy_topics.feedback.store import Store

SECONDS = 300
"""After so long, a client gives up."""
PAUSE_SECONDS = 0.1
"""Before a client tries again."""

SERVE = """
import sys
from configs.settings import load_settings
from serve.run import run
bundle, url, port = sys.argv[1:]
run(load_settings(None, {"bundle": bundle, "feedback.url": url, "serve.port": int(port), "engine.threads": 1}))
"""


@dataclass
class Outcome:
    """What came of a run.

    Attributes:
        seconds: from sending each correction to its acknowledgement, of those that took one try.
        statuses: how many answers of each status; 0 where the connection broke.
        before_kill: ids that were acknowledged before it.
        acknowledged: how many were in the end.
        elapsed: seconds of the whole run, the restart included.
    """

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    before_kill: list[str] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    elapsed: float = 0


class Service:
    """The real service, in processes of its own."""

    def __init__(self, bundle: Path, url: str, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self._command = [sys.executable, "-c", SERVE, str(bundle), url, str(self._port)]
        self._folder = folder
        self.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._command,
            cwd=self._folder,
            env={**os.environ, "PYTHONPATH": str(HOME), "BENTOML_HOME": str(self._folder / "bentoml")},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def kill(self) -> None:
        """Kill the server and its worker, which has a process group of its own."""
        server = psutil.Process(self._process.pid)
        processes = [server, *server.children(recursive=True)]
        for process in processes:
            process.kill()
        self._process.wait()
        psutil.wait_procs(processes)


def run(url: str, clients: int, each: int, bundle: Path) -> Outcome:
    """Send corrections, kill, go on, check.

    Raises:
        RuntimeError: a correction that was acknowledged is lost, or one is there twice.
    """
    ids = [[str(uuid4()) for _ in range(each)] for _ in range(clients)]
    with tempfile.TemporaryDirectory() as folder:
        service = Service(bundle, url, Path(folder))
        try:
            outcome = asyncio.run(_run(service, ids, url))
        finally:
            service.kill()
    _check(url, [id for own in ids for id in own], "in the end")
    return outcome


async def _run(service: Service, ids: list[list[str]], url: str) -> Outcome:
    outcome = Outcome()
    half = sum(map(len, ids)) // 2
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(service.address, connector=connector) as session, asyncio.timeout(SECONDS):
        while not await _is_ready(session):
            await asyncio.sleep(PAUSE_SECONDS)
        start = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for own in ids:
                group.create_task(_send(session, own, outcome))
            while len(outcome.acknowledged) < half:
                await asyncio.sleep(0.001)
            service.kill()
            outcome.before_kill = list(outcome.acknowledged)
            await asyncio.to_thread(_check, url, outcome.before_kill, "after the kill")
            service.start()
        outcome.elapsed = time.perf_counter() - start
    return outcome


async def _send(session: aiohttp.ClientSession, ids: list[str], outcome: Outcome) -> None:
    for id in ids:
        text = f"推进高标准农田建设，第{id}号地块已经开工。"
        item = {"id": id, "text": text, "old": [{"id": "education", "probability": 0.5}], "new": ["agriculture"]}
        start, tries = time.perf_counter(), 0
        while True:
            tries += 1
            status = await _post(session, {"items": [item], "consent": True})
            outcome.statuses[status] += 1
            if status in (200, 201):
                break
            await asyncio.sleep(PAUSE_SECONDS)
        outcome.acknowledged.append(id)
        if tries == 1:
            outcome.seconds.append(time.perf_counter() - start)


async def _post(session: aiohttp.ClientSession, body: object) -> int:
    try:
        async with session.post("/feedback", json=body) as answer:
            await answer.read()
            return answer.status
    except (aiohttp.ClientError, OSError):
        return 0


async def _is_ready(session: aiohttp.ClientSession) -> bool:
    try:
        async with session.get("/readyz") as answer:
            return answer.status == 200
    except (aiohttp.ClientError, OSError):
        return False


def _check(url: str, ids: list[str], when: str) -> None:
    stored = Counter(correction.id for correction in Store(url).read())
    if lost := [id for id in ids if id not in stored]:
        raise RuntimeError(f"{when}: {len(lost)} acknowledged corrections are lost, e.g. {lost[0]}")
    if twice := [id for id in ids if stored[id] > 1]:
        raise RuntimeError(f"{when}: {len(twice)} corrections are there more than once, e.g. {twice[0]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--each", type=int, default=10)
    parser.add_argument("--url", help="of a PostgreSQL database; by default an SQLite file that is removed again")
    parser.add_argument("--bundle", type=Path, default=EMBEDDED)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = arguments.url or f"sqlite:///{folder}/feedback.db"
        outcome = run(url, arguments.clients, arguments.each, arguments.bundle.absolute())
        name = Store(url).name if arguments.url else "SQLite"
    p50, p99 = (1000 * float(np.percentile(outcome.seconds, percent)) for percent in (50, 99))
    answers = ", ".join(f"{count} × {status or 'broken'}" for status, count in sorted(outcome.statuses.items()))
    print(
        f"{name}: {len(outcome.acknowledged)} corrections of {arguments.clients} clients, "
        f"{len(outcome.before_kill)} of them acknowledged before the kill; all there, each once\n"
        f"answers: {answers}; p50 {p50:.0f} ms, p99 {p99:.0f} ms where one try was enough; "
        f"{outcome.elapsed:.1f} s with the restart"
    )


if __name__ == "__main__":
    main()
