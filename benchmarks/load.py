"""Clients that ask a server all the time, in a process of their own: the cost of asking is not the server's.

Used by the other benchmarks; a load is a JSON object on standard input, what came of it one on standard output.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence

import aiohttp
import numpy as np
from pydantic import BaseModel

from benchmarks.servers import Wrap, pin

BROKEN = 0
"""Status of a request whose connection broke before its answer."""


class Load(BaseModel):
    """What to ask of which server, and how hard.

    With `per_second`, requests start at that rate whatever becomes of those before them, as those of many people do;
    without it each of `clients` asks as soon as it has its answer, or after a refusal when that says so.
    """

    url: str
    bodies: list[str]
    """Sent in turn; none: GET."""
    seconds: float
    warm_seconds: float = 0
    """Of asking before, which does not count."""
    clients: int = 1
    per_second: float = 0
    keep_answers: bool = False


class Outcome(BaseModel):
    """What came of a load.

    Attributes:
        statuses: how many answers of each status, of all that came after the warming up; 0: the connection broke.
        seconds: that each of those with status 200 took.
        per_second: of those, within the time of the load.
        until: when the load ended, seconds since 1970; answers may have come later.
        answers: what came with status 200: index of the body, answer, how often. The same answer is kept once.
    """

    statuses: dict[int, int]
    seconds: list[float]
    per_second: float
    until: float
    answers: list[tuple[int, str, int]] = []

    def percentile(self, percent: float) -> float:
        """Seconds within which so many of 100 good answers came; NaN if none came."""
        return float(np.percentile(self.seconds, percent)) if self.seconds else float("nan")


def ask(load: Load, cores: Sequence[int] = ()) -> Outcome:
    """Put a load on a server, from another process, which keeps to these cores."""
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.load"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    pin(process.pid, cores)
    out, _ = process.communicate(load.model_dump_json().encode())
    if process.returncode:
        raise SystemExit(f"the clients failed with exit code {process.returncode}")
    return Outcome.model_validate_json(out)


def request_bodies(texts: Sequence[str], in_each: int, wrap: Wrap) -> list[str]:
    """Request bodies of so many texts each, out of the texts in turn."""
    cycle = itertools.cycle(texts)
    return [json.dumps(wrap(list(itertools.islice(cycle, in_each))), ensure_ascii=False) for _ in texts]


class _Clients:
    def __init__(self, load: Load, session: aiohttp.ClientSession) -> None:
        self._load = load
        self._session = session
        self._bodies: Iterator[tuple[int, bytes]] = itertools.cycle(
            [(number, body.encode()) for number, body in enumerate(load.bodies)] or [(0, b"")]
        )
        self._begin = time.perf_counter() + load.warm_seconds
        self._end = self._begin + load.seconds
        self._in_time = 0
        self._statuses: Counter[int] = Counter()
        self._seconds: list[float] = []
        self._answers: Counter[tuple[int, bytes]] = Counter()

    async def run(self) -> Outcome:
        if self._load.per_second:
            await self._at_a_rate()
        else:
            await asyncio.gather(*(self._one_after_the_other() for _ in range(self._load.clients)))
        return Outcome(
            statuses=self._statuses,
            seconds=self._seconds,
            per_second=self._in_time / self._load.seconds,
            until=time.time() - (time.perf_counter() - self._end),
            answers=[(number, text.decode(), count) for (number, text), count in self._answers.items()],
        )

    async def _one_after_the_other(self) -> None:
        while time.perf_counter() < self._end:
            await asyncio.sleep(await self._ask())

    async def _at_a_rate(self) -> None:
        asking: set[asyncio.Task[float]] = set()
        start = time.perf_counter()
        for number in itertools.count():
            due = start + number / self._load.per_second
            if due >= self._end:
                break
            await asyncio.sleep(max(0, due - time.perf_counter()))
            task = asyncio.create_task(self._ask())
            asking.add(task)
            task.add_done_callback(asking.discard)
        await asyncio.gather(*asking)

    async def _ask(self) -> float:
        """For how many seconds the client is to ask nothing now."""
        number, body = next(self._bodies)
        start = time.perf_counter()
        status, text, wait = await self._send(body)
        now = time.perf_counter()
        if now < self._begin:
            return wait
        self._statuses[status] += 1
        if status == 200:
            self._in_time += now <= self._end
            self._seconds.append(now - start)
            if self._load.keep_answers:
                self._answers[number, text] += 1
        return wait

    async def _send(self, body: bytes) -> tuple[int, bytes, float]:
        """Status, answer, and for how many seconds to wait."""
        method = "POST" if body else "GET"
        headers = {"Content-Type": "application/json"} if body else None
        try:
            async with self._session.request(method, self._load.url, data=body or None, headers=headers) as answer:
                return answer.status, await answer.read(), float(answer.headers.get("Retry-After", 0))
        except (aiohttp.ClientError, TimeoutError):
            return BROKEN, b"", 0.1  # the server may be starting again


async def _main() -> None:
    load = Load.model_validate_json(sys.stdin.buffer.read())
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=120)) as session:
        outcome = await _Clients(load, session).run()
    sys.stdout.write(outcome.model_dump_json())


if __name__ == "__main__":
    asyncio.run(_main())
