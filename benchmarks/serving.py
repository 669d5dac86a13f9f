"""Ours beside other ways to serve the same model: one run, one machine, the same texts and threads, by turns.

    python -m benchmarks.serving [--texts TEXTS.jsonl] [--bundle FOLDER] [--threads 0] [--seconds 10] [--rounds 1]
        [--infinity VENV/bin/infinity_emb] [--only ours fastapi bentoml infinity] [--json OUT]

Requests with one text by 1, 8 and 64 clients that ask again as soon as they have their answer, and texts a second by 4
clients with 32 texts in a request; and for ours, requests that need no model, and how much of the bare engine's speed
(tokens in, logits out, 32 texts at a time) is left behind HTTP. With `--threads` under the number of cores, servers and
clients have cores of their own; otherwise the clients take their time from the server, the same from each way.

FastAPI is none of our dependencies: `pip install fastapi`. Infinity needs transformers 4 and so an environment of its
own: `python -m venv /tmp/infinity && /tmp/infinity/bin/pip install 'infinity_emb[server,torch]'`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from time import perf_counter

from rich.console import Console
from rich.table import Table

from benchmarks.load import Load, Outcome, ask, request_bodies
from benchmarks.servers import OURS, Server, Way, bentoml_batching, divided, fastapi_pipeline, infinity, ours, running
from configs.settings import load_settings, resolve
from policy_topics.classifier import Classifier
from policy_topics.engine import available_cores
from policy_topics.registry import served_bundle
from train.cost import processor

CLIENTS = (1, 8, 64)
MANY, MANY_CLIENTS = 32, 4
WARM_SHARE = 0.3
"""Of the seconds of a measurement, asked before it."""

Figures = dict[str, dict[str, dict[str, float]]]
"""Way, point, figure."""


def main() -> None:
    arguments = _arguments()
    threads = arguments.threads or available_cores()
    server_cores, client_cores = divided(threads)
    bundle = arguments.bundle or served_bundle(load_settings())
    texts = [json.loads(line)["text"] for line in arguments.texts.read_text("utf-8").splitlines() if line.strip()]
    console = Console(width=120, highlight=False)
    apart = "on cores of their own" if set(client_cores).isdisjoint(server_cores) else "on the same cores"
    console.print(f"{processor()}, {threads} threads, clients {apart}; {len(texts)} texts")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        servers: list[Server] = []
        for way in _ways(arguments, bundle, threads, Path(folder)):
            log = Path(folder) / f"{len(servers)}.log"
            servers.append(stack.enter_context(running(way, server_cores, log)))
            console.print(f"{way.name}: ready after {servers[-1].start_seconds:.1f} s")
        figures = _measure(servers, texts, arguments, client_cores, console)
    if "ours" in arguments.only:
        figures["bare engine"] = {"32 texts": {"texts_per_second": _bare(bundle, threads, texts, arguments.seconds)}}
    console.print(_table(figures))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, ensure_ascii=False, indent=1) + "\n", "utf-8")


def _ways(arguments: argparse.Namespace, bundle: Path, threads: int, folder: Path) -> Iterator[Way]:
    if "ours" in arguments.only:
        yield ours(bundle, threads)
    if "fastapi" in arguments.only:
        yield fastapi_pipeline(bundle, threads)
    if "bentoml" in arguments.only:
        yield bentoml_batching(bundle, threads)
    if "infinity" in arguments.only and arguments.infinity:
        yield infinity(arguments.infinity, bundle, threads, folder / "infinity")


def _measure(
    servers: list[Server], texts: list[str], arguments: argparse.Namespace, cores: list[int], console: Console
) -> Figures:
    """Each point of each way, all ways of a point one after the other; the median of the rounds."""
    found: dict[tuple[str, str], list[dict[str, float]]] = defaultdict(list)
    for _ in range(arguments.rounds):
        for point, in_each, clients in [
            *((f"1 text, {clients} clients", 1, clients) for clients in CLIENTS),
            (f"{MANY} texts", MANY, MANY_CLIENTS),
        ]:
            for server in servers:
                bodies = request_bodies(texts, in_each, server.way.wrap)
                outcome = _asked(server.classify, bodies, clients, arguments.seconds, cores)
                found[server.way.name, point].append(_figures(outcome, in_each))
                console.print(f"{point}: {server.way.name} {found[server.way.name, point][-1]}")
        for server in servers:
            if server.way.name == OURS:
                for point, url, bodies in (
                    ("GET /livez, 8 clients", server.url + "/livez", []),
                    ("no items, 8 clients", server.classify, ['{"items": []}']),
                ):
                    outcome = _asked(url, bodies, 8, arguments.seconds, cores)
                    found[server.way.name, point].append(_figures(outcome, 1))
    figures: Figures = defaultdict(dict)
    for (name, point), rounds in found.items():
        figures[name][point] = {key: median(each[key] for each in rounds) for key in rounds[0]}
    return figures


def _asked(url: str, bodies: list[str], clients: int, seconds: float, cores: list[int]) -> Outcome:
    return ask(Load(url=url, bodies=bodies, clients=clients, seconds=seconds, warm_seconds=WARM_SHARE * seconds), cores)


def _figures(outcome: Outcome, in_each: int) -> dict[str, float]:
    return {
        "per_second": round(outcome.per_second, 2),
        "texts_per_second": round(outcome.per_second * in_each, 2),
        "p50_ms": round(outcome.percentile(50) * 1000, 2),
        "p99_ms": round(outcome.percentile(99) * 1000, 2),
        "failed": sum(count for status, count in outcome.statuses.items() if status != 200),
    }


def _bare(bundle: Path, threads: int, texts: list[str], seconds: float) -> float:
    """Texts a second of the engine alone, in this process; they are tokenised before."""
    classifier = Classifier.load(bundle, load_settings(None, {"engine.threads": threads}).engine)
    requests = [
        [window for text in classifier.tokenise(texts[start : start + MANY]) for window in text.windows]
        for start in range(0, len(texts) - MANY + 1, MANY)
    ]
    for request in requests:
        classifier.run(request)
    start, rounds = perf_counter(), 0
    while perf_counter() - start < seconds or not rounds:
        for request in requests:
            classifier.run(request)
        rounds += 1
    return rounds * len(requests) * MANY / (perf_counter() - start)


def _table(figures: Figures) -> Table:
    table = Table(title="requests/s · p50 ms · p99 ms, and ours over it; failed requests", title_justify="left")
    table.add_column("")
    for name in figures:
        table.add_column(name, justify="right")
    own = figures.get(OURS, {})
    for point in dict.fromkeys(point for points in figures.values() for point in points):
        table.add_row(point, *(_cell(points.get(point), own.get(point)) for points in figures.values()))
    return table


def _cell(figures: dict[str, float] | None, own: dict[str, float] | None) -> str:
    if figures is None:
        return "–"
    if "per_second" not in figures:
        left = f" (ours has {own['texts_per_second'] / figures['texts_per_second']:.0%})" if own else ""
        return f"{figures['texts_per_second']:.1f} texts/s{left}"
    cell = f"{figures['per_second']:.1f} · {figures['p50_ms']:.1f} · {figures['p99_ms']:.1f}"
    if figures["failed"]:
        cell += f"\n{figures['failed']:.0f} failed"
    if own and own is not figures and figures["per_second"]:
        cell += f"\n{own['per_second'] / figures['per_second']:.2f}×"
    return cell


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path, default=resolve(Path("data/test.jsonl")))
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--threads", type=int, default=0, help="of the engine; 0 = all cores")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--infinity", type=Path, help="the program infinity_emb")
    ways = ("ours", "fastapi", "bentoml", "infinity")
    parser.add_argument("--only", nargs="+", choices=ways, default=ways)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
