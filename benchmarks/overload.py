"""What too much work does to the service: ten minutes at twice its capacity, each answer checked.

    python -m benchmarks.overload [--minutes 10] [--kill] [--threads 0] [--bundle FOLDER] [--texts TEXTS] [--json OUT]
    python -m benchmarks.overload --swap 20 …

First as many clients ask as the queue holds, each again as soon as it has its answer, or after `Retry-After` where now
and then one is refused: that is its capacity. Then requests come at twice that rate, whatever becomes of them. It shows
the statuses, the seconds of accepted requests beside those at capacity (before and after, for the machine may be slower
meanwhile), the worker's memory, and how soon afterwards a request is answered like on a quiet day. Every accepted
answer is compared with what the library gives for that text.

`--kill` ends the worker with SIGKILL midway; requests that it had taken are lost then, and only those. `--swap`
promotes two versions in turn instead, while clients ask without ever filling the queue.

Exit code 1: a status that may not be, a wrong answer, or memory that grows.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import mean, median
from typing import Any

import httpx
from rich.console import Console

from benchmarks.load import BROKEN, Load, Outcome, ask, request_bodies
from benchmarks.offline import Offline
from benchmarks.servers import Server, divided, ours, running
from benchmarks.watch import Watch, answered, back_to, probing, watching
from configs.settings import Settings, load_settings, resolve
from policy_topics.bundle import MANIFEST, Provenance, load_bundle, write_manifest
from policy_topics.classifier import Classifier
from policy_topics.engine import available_cores
from policy_topics.registry import Registry, served_bundle
from train.cost import processor

FULL = 0.85
"""Of the queue that is filled to measure the capacity; from 1 - 1 / `serve.batcher.SHARE` requests are refused."""

SWAP_CLIENTS = 16
NORMAL = 3
"""Times as long as on a quiet day that a request may take to count as answered like then."""
GROWN = 1.1
"""Memory over the last quarter that is no growth, beside the second."""


def main() -> None:
    arguments = _arguments()
    settings = load_settings(None, {"engine.threads": arguments.threads or available_cores()})
    threads = settings.engine.threads
    texts = [json.loads(line)["text"] for line in arguments.texts.read_text("utf-8").splitlines() if line.strip()]
    random.Random(7).shuffle(texts)  # neighbours are alike in length, and the queue counts tokens
    bundle = arguments.bundle or served_bundle(settings)
    cores = divided(threads)
    console = Console(width=120, highlight=False, soft_wrap=True)
    console.print(f"{processor()}, {threads} threads; {len(texts)} texts")
    with tempfile.TemporaryDirectory() as folder:
        run = _swaps if arguments.swap else _overload
        figures, faults = run(arguments, settings, bundle, texts, cores, Path(folder))
    for name, value in figures.items():
        console.print(f"{name}: {value}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, ensure_ascii=False, indent=1) + "\n", "utf-8")
    for fault in faults:
        console.print(fault, style="red")
    sys.exit(bool(faults))


Run = tuple[dict[str, Any], list[str]]
Cores = tuple[list[int], list[int]]


def _overload(
    arguments: argparse.Namespace, settings: Settings, bundle: Path, texts: list[str], cores: Cores, folder: Path
) -> Run:
    way = ours(bundle, settings.engine.threads)
    bodies = request_bodies(texts, 1, way.wrap)
    offline = Offline([bundle], texts, settings)
    clients = _clients_that_fill(settings, bundle, texts)
    seconds = arguments.minutes * 60
    with running(way, cores[0], folder / "log") as server:
        quiet = median(answered(server, bodies[0]) for _ in range(20))
        load = Load(url=server.classify, bodies=bodies, seconds=min(60, seconds), warm_seconds=5, clients=clients)
        capacity = ask(load, cores[1])
        twice = load.model_copy(
            update={"per_second": 2 * capacity.per_second, "seconds": seconds, "keep_answers": True}
        )
        with (
            watching(server) as watch,
            midway(arguments.kill, twice, server) as killed,
            probing(server, bodies[0]) as probes,
        ):
            asked = ask(twice, cores[1])
            _seconds_until(lambda: bool(back_to(NORMAL * quiet, probes, asked.until)))
        capacity_after = ask(load, cores[1])
    wrong = sum(count for number, text, count in asked.answers if not offline.agrees(number, text))
    figures = {
        "capacity": _about(capacity, clients=clients),
        "capacity afterwards": _about(capacity_after, clients=clients),
        "at twice that": _about(asked, per_second_asked=round(2 * capacity.per_second, 1)),
        "p99 beside that at capacity": [
            round(asked.percentile(99) / each.percentile(99), 3) for each in (capacity, capacity_after)
        ],
        "wrong answers": wrong,
        "worker's memory": _memory(watch),
        "after the load, normal again in seconds": back_to(NORMAL * quiet, probes, asked.until)[:1],
        **({"worker killed, ready again in seconds": round(killed[0], 1)} if killed else {}),
    }
    allowed = {200, 429} | ({BROKEN, 503} if arguments.kill else set())  # 503 while the worker starts again
    faults = [f"status {status}: {count}" for status, count in asked.statuses.items() if status not in allowed]
    if not arguments.kill and watch.growth() > GROWN:
        faults.append(f"memory grows: {watch.growth():.2f}")
    return figures, faults + _wrong(wrong)


def _swaps(
    arguments: argparse.Namespace, settings: Settings, bundle: Path, texts: list[str], cores: Cores, folder: Path
) -> Run:
    registry = Registry(folder / "registry", default=bundle)
    other = other_calibration(bundle, folder / "other")
    versions = [registry.add(each) for each in (bundle, other)]
    registry.promote(versions[0])
    way = ours(None, settings.engine.threads, registry.folder)
    bodies = request_bodies(texts, 1, way.wrap)
    offline = Offline([bundle, other], texts, settings)
    seconds = arguments.minutes * 60
    took: list[float] = []

    with running(way, cores[0], folder / "log") as server, watching(server) as watch:

        def swap() -> None:
            for number in range(1, arguments.swap + 1):
                time.sleep(seconds / (arguments.swap + 1))
                wanted = versions[number % 2]
                registry.promote(wanted)
                took.append(_seconds_until(lambda: _version(server) == wanted))  # noqa: B023

        swapping = threading.Thread(target=swap)
        swapping.start()
        load = Load(url=server.classify, bodies=bodies, seconds=seconds, clients=SWAP_CLIENTS, keep_answers=True)
        asked = ask(load, cores[1])
        swapping.join()
    wrong = sum(count for number, text, count in asked.answers if not offline.agrees(number, text))
    figures = {
        "swaps": len(took),
        "seconds until taken over": f"median {median(took):.1f}, most {max(took):.1f}",
        "answers": _about(asked, clients=SWAP_CLIENTS),
        "versions that answered": len(offline.versions([text for _, text, _ in asked.answers])),
        "wrong answers": wrong,
        "worker's memory": _memory(watch),
    }
    faults = [f"status {status}: {count}" for status, count in asked.statuses.items() if status != 200]
    return figures, faults + _wrong(wrong)  # memory holds two models for moments


def other_calibration(bundle: Path, folder: Path) -> Path:
    """The same bundle with other probabilities, and so another version."""
    opened = load_bundle(bundle)
    shutil.copytree(bundle, folder)
    (folder / MANIFEST).unlink()
    replace(opened.calibration, bias=opened.calibration.bias + 0.5).save(
        folder / "calibration.json", opened.taxonomy.ids
    )
    provenance = Provenance(
        "other", opened.manifest.max_tokens, opened.manifest.data_fingerprint, parent=opened.version
    )
    write_manifest(folder, provenance, opened.manifest.precision)
    return folder


@contextmanager
def midway(kill: bool, load: Load, server: Server) -> Iterator[list[float]]:
    """Kill the worker in the middle of the load, if asked to; what comes is the seconds until it is ready again."""
    back: list[float] = []

    def act() -> None:
        time.sleep(load.warm_seconds + load.seconds / 2)
        server.worker().kill()
        back.append(_seconds_until(server.ready))

    thread = threading.Thread(target=act)
    if kill:
        thread.start()
    try:
        yield back
    finally:
        if kill:
            thread.join()


def _clients_that_fill(settings: Settings, bundle: Path, texts: list[str]) -> int:
    tokens = mean(text.tokens for text in Classifier.load(bundle, settings.engine).tokenise(texts))
    return max(2, int(FULL * settings.serve.queue_tokens / tokens))


def _version(server: Server) -> str:
    return str(httpx.get(f"{server.url}/model", timeout=60).json()["version"])


def _seconds_until(happened: Callable[[], bool], most: float = 180) -> float:
    start = time.perf_counter()
    while not happened():
        if time.perf_counter() - start > most:
            return float("inf")
        time.sleep(0.05)
    return time.perf_counter() - start


def _about(outcome: Outcome, **more: object) -> dict[str, object]:
    return {
        **more,
        "statuses": dict(sorted(Counter(outcome.statuses).items())),
        "answered_per_second": round(outcome.per_second, 1),
        "p50_ms": round(outcome.percentile(50) * 1000),
        "p99_ms": round(outcome.percentile(99) * 1000),
    }


def _memory(watch: Watch) -> str:
    if not watch.bytes:
        return "not seen"
    megabytes = [each / 2**20 for each in watch.bytes]
    return f"{megabytes[0]:.0f} MB first, {max(megabytes):.0f} at most, last quarter {watch.growth():.2f} of the second"


def _wrong(answers: int) -> list[str]:
    return [f"{answers} answers are not those of the library"] if answers else []


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path, default=resolve(Path("data/test.jsonl")))
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--threads", type=int, default=0, help="of the engine; 0 = all cores")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--swap", type=int, default=0, metavar="TIMES")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
