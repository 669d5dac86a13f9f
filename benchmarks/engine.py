"""Threads, tokens of a batch and streams of the engine: which settings are the fastest here.

    python -m benchmarks.engine [--texts TEXTS.jsonl] [--bundle FOLDER] [--threads 1 2]
        [--batch-tokens 512 1024 2048 4096] [--streams 1 2] [--rounds 3]

Paragraphs a second of the engine alone (tokens in, logits out), the median of the rounds; the settings take turns, so
that a slow minute of the machine slows each of them. `engine.threads` and `engine.batch_tokens` are settings. With
several streams as many batches run at once, each on its part of the threads: so do archives; the service runs one.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections import defaultdict
from pathlib import Path
from statistics import median
from time import perf_counter

from rich.console import Console
from rich.table import Table

from configs.settings import load_settings, resolve
from policy_topics.classifier import Classifier
from policy_topics.engine import available_cores
from policy_topics.registry import served_bundle
from policy_topics.tokeniser import Window
from train.cost import processor

Shape = tuple[int, int, int]
"""Threads, tokens of a batch, streams."""


def seconds(classifier: Classifier, windows: list[Window]) -> float:
    """What all windows take, tokens in, logits out."""
    start = perf_counter()
    classifier.run(windows)
    return perf_counter() - start


def _classifier(bundle: Path, threads: int, batch_tokens: int, streams: int) -> Classifier:
    settings = load_settings().engine.model_copy(update={"threads": threads, "batch_tokens": batch_tokens})
    return Classifier.load(bundle, settings, streams)


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
    classifiers = {shape: _classifier(bundle, *shape) for shape in shapes}
    speeds: dict[Shape, list[float]] = defaultdict(list)
    for number, (shape, classifier) in itertools.product(range(arguments.rounds + 1), classifiers.items()):
        taken = seconds(classifier, windows)
        if number:  # the first round prepares
            speeds[shape].append(len(texts) / taken)
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
