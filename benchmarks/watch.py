"""What is seen of a service while a load is on it: its worker's memory, and how soon it answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import mean

import httpx
import psutil

from benchmarks.servers import Server

Probe = tuple[float, float]
"""When a request was sent, seconds since 1970, and the seconds until it was answered with 200."""


@dataclass
class Watch:
    """The worker's memory, once a second, and when it was there."""

    bytes: list[int] = field(default_factory=list)

    def growth(self) -> float:
        """Last quarter over the second one; 1 is flat."""
        quarter = max(1, len(self.bytes) // 4)
        return mean(self.bytes[-quarter:]) / mean(self.bytes[quarter : 2 * quarter] or self.bytes[-quarter:])


@contextmanager
def watching(server: Server) -> Iterator[Watch]:
    """The worker's memory meanwhile."""
    watch, stop = Watch(), threading.Event()

    def look() -> None:
        while not stop.wait(1):
            try:
                watch.bytes.append(server.worker().memory_info().rss)
            except (psutil.Error, ValueError):  # it was killed, or is starting
                continue

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield watch
    finally:
        stop.set()
        thread.join()


@contextmanager
def probing(server: Server, body: str) -> Iterator[list[Probe]]:
    """One more client that asks a little, to see when all is well again."""
    probes: list[Probe] = []
    stop = threading.Event()

    def probe() -> None:
        while not stop.wait(0.1):
            probes.append((time.time(), answered(server, body)))

    thread = threading.Thread(target=probe)
    thread.start()
    try:
        yield probes
    finally:
        stop.set()
        thread.join()


def back_to(seconds: float, probes: list[Probe], since: float) -> list[float]:
    """Seconds from `since` until each probe that was answered as soon as that."""
    return [round(sent + took - since, 2) for sent, took in probes if sent >= since and took <= seconds]


def answered(server: Server, body: str) -> float:
    """Seconds until one request has its answer; endless if that is not 200."""
    start = time.perf_counter()
    try:
        answer = httpx.post(
            server.classify, content=body.encode(), headers={"Content-Type": "application/json"}, timeout=60
        )
    except httpx.TransportError:
        return float("inf")
    return time.perf_counter() - start if answer.status_code == 200 else float("inf")
