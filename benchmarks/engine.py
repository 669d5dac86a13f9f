"""Threads, tokens of a batch and streams of the engine: which settings are the fastest here.

    python -m benchmarks.engine [--texts TEXTS.jsonl] [--bundle FOLDER] [--threads 1 2]
        [--batch-tokens 512 1024 2048 4096] [--streams 1 2] [--rounds 3]

Paragraphs a second of the engine alone (tokens in, logits out), the median of the rounds; the settings take turns, so
that a slow minute of the machine slows each of them. `engine.threads` and `engine.batch_tokens` are settings. With
several streams as many batches run at once, each on its part of the threads; the service runs one.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from time import perf_counter

from rich.console import Console
from rich.table import Table

from benchmarks.speed import processor
from configs.settings import load_settings, resolve
from policy_topics.bundle import load_bundle
from policy_topics.classifier import Classifier
from policy_topics.engine import available_cores, batches, load_engine
from policy_topics.registry import served_bundle
from policy_topics.tokeniser import Window

Shape = tuple[int, int, int]
"""Threads, tokens of a batch, streams."""


class Streams:
    """An engine for each stream, with its part of the threads, as OpenVINO's own streams have."""

    def __init__(self, bundle: Path, threads: int, batch_tokens: int, streams: int) -> None:
        opened, settings = load_bundle(bundle), load_settings().engine
        own = settings.model_copy(update={"threads": max(1, threads // streams)})
        self._classifiers = [Classifier(opened, load_engine(opened, own), batch_tokens) for _ in range(streams)]
        self._batch_tokens = batch_tokens

    def run(self, windows: list[Window]) -> float:
        """Seconds for all windows, each stream taking every so-manieth batch."""
        parts = list(batches([len(window) for window in windows], self._batch_tokens))
        start = perf_counter()
        with ThreadPoolExecutor(len(self._classifiers)) as pool:
            each = enumerate(self._classifiers)
            list(pool.map(lambda pair: self._share(pair[1], windows, parts[pair[0] :: len(self._classifiers)]), each))
        return perf_counter() - start

    @staticmethod
    def _share(classifier: Classifier, windows: list[Window], parts: list[list[int]]) -> None:
        for part in parts:
            classifier.run([windows[index] for index in part])


def main() -> None:
    arguments = _arguments()
    bundle = arguments.bundle or served_bundle(load_settings())
    texts = [json.loads(line)["text"] for line in arguments.texts.read_text("utf-8").splitlines() if line.strip()]
    tokenised = Classifier.load(bundle, load_settings().engine).tokenise(texts)
    windows = [window for text in tokenised for window in text.windows]
    shapes = [
        shape
        for shape in itertools.product(arguments.threads, arguments.batch_tokens, arguments.streams)
        if shape[2] <= shape[0]
    ]
    engines = {shape: Streams(bundle, *shape) for shape in shapes}
    speeds: dict[Shape, list[float]] = defaultdict(list)
    for number, (shape, engine) in itertools.product(range(arguments.rounds + 1), engines.items()):
        seconds = engine.run(windows)
        if number:  # the first round prepares
            speeds[shape].append(len(texts) / seconds)
    console = Console(width=120)
    console.print(f"{processor()}, {available_cores()} cores; {len(texts)} paragraphs, {len(windows)} windows")
    table = Table(title=f"median of {arguments.rounds} rounds", title_justify="left")
    for column in ("threads", "batch_tokens", "streams", "paragraphs/s"):
        table.add_column(column, justify="right")
    for shape, rounds in sorted(speeds.items(), key=lambda each: -median(each[1])):
        table.add_row(*map(str, shape), f"{median(rounds):.1f}")
    console.print(table)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path, default=resolve(Path("data/test.jsonl")))
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--threads", type=int, nargs="+", default=sorted({1, available_cores()}))
    parser.add_argument("--batch-tokens", type=int, nargs="+", default=[512, 1024, 2048, 4096])
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
