"""Archive scoring: its speed and memory, and what broken files and kills do to it. All on this machine, in one run.

    python -m benchmarks.archive WORK [--texts TEXTS.jsonl …] [--only speed pipeline ray kills broken]
        [--paragraphs 1000000] [--sample 300] [--ray-paragraphs 20000] [--kills 50] [--files 500]

- speed: `policy-topics score` over JSON lines to Parquet, beside the bare engine (tokens in, logits out, in batches out
  of one sort) on the same texts, run before and after it, so that a slow hour of the machine slows both; the memory of
  all processes of the run together, over its first tenth and over all of it. `start` is what a run of one paragraph
  takes.
- pipeline: `transformers.pipeline` on the bundle's model, as it comes and with 32 texts a batch, beside the classifier.
- ray: Ray Data beside in-process on the same files, and once more while one of its workers is killed.
- kills: a run killed at random moments, resumed each time; its rows beside those of an undisturbed run.
- broken: files of all formats, a tenth of them broken in twelve ways; who is scored, who is named and why.

Texts are repeated, each time with their sentences in another order and another number, so that no cache helps. The
speeds that matter are the ratios. Figures also go to WORK/archive.json; WORK must be empty or new.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
from rich.console import Console

from configs.settings import Settings, load_settings, resolve
from policy_topics.classifier import Classifier
from policy_topics.engine import available_cores, engine_threads
from policy_topics.registry import served_bundle
from policy_topics.segment import sentences
from serve.archive.local_engine import streams
from serve.archive.output import ROWS
from train.cost import processor

MOST_BARE = 20_000
"""Paragraphs that the bare engine runs each time; their windows are all in memory."""

TWELVE = (
    "empty.txt", "binary.txt", "picture.png", "cut.docx", "locked.pdf", "scanned.pdf", "locked.epub", "nameless.csv",
    "cut.parquet", "cut.txt.gz", "bomb.txt.gz", "cut.zip",
)  # fmt: skip
"""Of the broken files in tests/archives.py."""

Figures = dict[str, Any]


def varied(texts: Sequence[str], count: int) -> Iterator[str]:
    """So many texts, none twice."""
    order = random.Random(11)
    for number, text in enumerate(itertools.islice(itertools.cycle(texts), count)):
        parts = sentences(text)
        order.shuffle(parts)
        yield f"{''.join(parts).strip()}（{number}）"


def write_rows(file: Path, texts: Iterator[str]) -> Path:
    with file.open("w", encoding="utf-8") as stream:
        for number, text in enumerate(texts):
            stream.write(json.dumps({"id": str(number), "text": text}, ensure_ascii=False) + "\n")
    return file


def command(source: Path, out: Path, *options: str, part_rows: int = 10_000) -> list[str]:
    setting = f"archive.part_rows={part_rows}"
    return [sys.executable, "-m", "cli.main", "--set", setting, "score", str(source), str(out), *options]


def measured(arguments: list[str], out: Path) -> tuple[float, list[tuple[int, int]]]:
    """Run a command: its seconds, and (paragraphs done, bytes of memory of all its processes) twice a second."""
    series = []
    start = time.perf_counter()
    process = psutil.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        series.append((_paragraphs(out), _memory(process)))
        time.sleep(0.5)
    seconds = time.perf_counter() - start
    if process.returncode not in (0, 1):
        raise SystemExit(f"exit code {process.returncode}: {' '.join(arguments)}")
    return seconds, series


def _paragraphs(out: Path) -> int:
    try:
        return int(json.loads((out / "status.json").read_bytes())["paragraphs"])
    except OSError:
        return 0


def _memory(process: psutil.Popen) -> int:
    """Proportional set size: pages that several processes share count once."""
    total = 0
    for each in [process, *process.children(recursive=True)]:
        try:
            total += each.memory_full_info().pss
        except psutil.Error:
            continue
    return total


def bare(settings: Settings, texts: Sequence[str]) -> float:
    """Paragraphs a second of the engine alone, in one stream or in as many as a run has, whichever is faster.

    The texts are tokenised, and the engine warm, before the clock starts.
    """
    speeds = []
    for count in {1, streams(settings.engine)}:
        classifier = Classifier.load(served_bundle(settings), settings.engine, count)
        windows = [window for text in classifier.tokenise(texts) for window in text.windows]
        classifier.run(windows[:500])
        start = time.perf_counter()
        classifier.run(windows)
        speeds.append(len(texts) / (time.perf_counter() - start))
    return max(speeds)


def speed(work: Path, texts: Sequence[str], settings: Settings, count: int) -> Figures:
    source = write_rows(work / "many.jsonl", varied(texts, count))
    few = list(varied(texts, min(count, MOST_BARE)))
    before = bare(settings, few)
    start, _ = measured(command(write_rows(work / "one.jsonl", varied(texts, 1)), work / "one"), work / "one")
    seconds, series = measured(command(source, work / "many"), work / "many")
    after = bare(settings, few)
    engine = (before + after) / 2
    whole, running = count / seconds, count / (seconds - start)
    return {
        "paragraphs": count, "start_seconds": start, "seconds": seconds, "paragraphs_per_second": whole,
        "bare_engine": [before, after], "share_of_bare_engine": whole / engine,
        "share_of_bare_engine_without_start": running / engine,
        "peak_megabytes": max(memory for _, memory in series) / 1e6,
        "peak_megabytes_first_tenth": max(memory for done, memory in series if done <= count / 10) / 1e6,
        "rows": pq.read_table(work / "many" / ROWS, columns=["id"]).num_rows,
    }  # fmt: skip


def pipeline(texts: Sequence[str], settings: Settings, count: int) -> Figures:
    """`transformers.pipeline` beside the classifier as a run has it: both from text to probabilities, with the same
    threads."""
    import torch
    from transformers import pipeline as of_transformers

    torch.set_num_threads(engine_threads(settings.engine))
    sample = list(varied(texts, count))
    bundle = served_bundle(settings)
    classifier = Classifier.load(bundle, settings.engine, streams(settings.engine))
    # By default transformers takes the precision that the weights are stored in, fp16, which processors are slow at.
    task: dict[str, Any] = {"model": str(bundle), "top_k": None, "function_to_apply": "sigmoid"}
    theirs = of_transformers("text-classification", **task)
    single = of_transformers("text-classification", **task, dtype=torch.float32)
    options: dict[str, Any] = {"truncation": True, "max_length": classifier.bundle.manifest.max_tokens}
    ways: dict[str, Callable[[], object]] = {
        "classifier": lambda: classifier.classify(sample),
        "pipeline": lambda: theirs(sample, **options),
        "pipeline_32": lambda: theirs(sample, batch_size=32, **options),
        "pipeline_fp32": lambda: single(sample, **options),
        "pipeline_fp32_32": lambda: single(sample, batch_size=32, **options),
    }
    taken: dict[str, float] = {}
    for name, way in ways.items():
        classifier.classify(sample)  # warms up, and pauses before the next way
        start = time.perf_counter()
        way()
        taken[name] = time.perf_counter() - start
    return {
        "paragraphs": count,
        **{f"{name}_per_second": count / seconds for name, seconds in taken.items()},
        **{f"times_as_fast_as_{name}": taken[name] / taken["classifier"] for name in ways if name != "classifier"},
    }


def ray(work: Path, texts: Sequence[str], count: int) -> Figures:
    folder = work / "ray"
    folder.mkdir()
    stream = varied(texts, count)
    for number in range(8):
        write_rows(folder / f"{number}.jsonl", itertools.islice(stream, count // 8))
    local, _ = measured(command(folder, work / "ray-local"), work / "ray-local")
    spread, _ = measured(command(folder, work / "ray-ray", "--engine", "ray"), work / "ray-ray")
    process = psutil.Popen(command(folder, work / "ray-killed", "--engine", "ray"), stderr=subprocess.DEVNULL)
    killed = 0
    while process.poll() is None:
        time.sleep(0.5)
        if not killed and _paragraphs(work / "ray-killed"):
            workers = [p for p in _named("ray::MapWorker(MapBatches(_Scorer)") if p.is_running()]
            for worker in workers[:1]:
                worker.kill()
                killed += 1
    expected = rows(work / "ray-local")
    return {
        "paragraphs": count, "local_seconds": local, "ray_seconds": spread, "ray_to_local_speed": local / spread,
        "same_rows": rows(work / "ray-ray") == expected, "workers_killed": killed,
        "same_rows_after_kill": rows(work / "ray-killed") == expected, "exit_code_after_kill": process.returncode,
    }  # fmt: skip


def _named(start: str) -> Iterator[psutil.Process]:
    """Ray's workers are named for what they run."""
    own = os.getuid()
    for process in psutil.process_iter(["name", "cmdline", "uids"]):
        title = " ".join(process.info["cmdline"] or ())
        if title.startswith(start) and process.info["uids"].real == own:
            yield process


def kills(work: Path, texts: Sequence[str], count: int, paragraphs: int) -> Figures:
    """Kill a run at random moments, from its start to its end."""
    folder = work / "kills"
    folder.mkdir()
    stream = varied(texts, paragraphs)
    write_rows(folder / "half.jsonl", itertools.islice(stream, paragraphs // 2))
    for number, group in enumerate(iter(lambda: list(itertools.islice(stream, 5)), [])):
        (folder / f"{number:05}.txt").write_text("\n".join(group), "utf-8")
    part_rows = max(10, paragraphs // (4 * count))
    undisturbed, _ = measured(command(folder, work / "undisturbed", part_rows=part_rows), work / "undisturbed")
    moments = random.Random(12)
    landed = 0
    for _ in range(count):
        process = subprocess.Popen(
            command(folder, work / "killed", part_rows=part_rows), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:  # some while it starts, most while it works
            process.wait(moments.uniform(0.5, 4 + 2 * undisturbed / count))
        except subprocess.TimeoutExpired:
            landed += 1
            process.send_signal(signal.SIGKILL)
            process.wait()
    subprocess.run(command(folder, work / "killed", part_rows=part_rows), check=True, stdout=subprocess.DEVNULL)
    expected, got = rows(work / "undisturbed"), rows(work / "killed")
    return {
        "kills": count, "while_running": landed, "rows": len(got), "same_rows": got == expected,
        "rows_twice": len(got) - len({row["id"] + row["document"] for row in got}),
    }  # fmt: skip


def broken(work: Path, count: int) -> Figures:
    from tests.archives import BROKEN, GOOD

    folder = work / "broken"
    folder.mkdir()
    good, bad = itertools.cycle(GOOD.items()), itertools.cycle(TWELVE)
    expected: dict[str, str] = {}
    whole = set()
    for number in range(count):
        if number % 10 == 0:
            name = next(bad)
            make, code = BROKEN[name]
            expected[f"broken/{number:04}-{name}"] = code
        else:
            name, make = next(good)
            whole.add(f"broken/{number:04}-{name}")
        (folder / f"{number:04}-{name}").write_bytes(make())
    measured(command(folder, work / "sound"), work / "sound")
    lines = map(json.loads, (work / "sound" / "quarantine.jsonl").read_text("utf-8").splitlines())
    named = {line["input"]: line["code"] for line in lines}
    scored = {row["document"] for row in rows(work / "sound")}
    return {
        "files": count, "good": len(whole), "good_scored": len(whole & scored), "broken": len(expected),
        "broken_kinds": len(TWELVE), "broken_named_rightly": sum(named.get(n) == c for n, c in expected.items()),
        "others_named": sorted(set(named) - set(expected)),
    }  # fmt: skip


def rows(out: Path) -> list[Figures]:
    """All rows of an output, in the order of their documents."""
    return sorted(pq.read_table(out / ROWS).to_pylist(), key=lambda row: (row["document"], row["index"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--texts", type=Path, nargs="+", default=[resolve(Path("data/train.jsonl"))])
    parser.add_argument("--only", nargs="+", choices=["speed", "pipeline", "ray", "kills", "broken"])
    parser.add_argument("--paragraphs", type=int, default=1_000_000)
    parser.add_argument("--sample", type=int, default=300)
    parser.add_argument("--ray-paragraphs", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--kill-paragraphs", type=int, default=20_000)
    parser.add_argument("--files", type=int, default=500)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    if any(given.work.iterdir()):
        raise SystemExit(f"{given.work} is not empty; name a new folder")
    settings = load_settings()
    lines = (line for file in given.texts for line in file.read_text("utf-8").splitlines())
    texts = [json.loads(line)["text"] for line in lines if line.strip()]
    parts: dict[str, Callable[[], Figures]] = {
        "speed": lambda: speed(given.work, texts, settings, given.paragraphs),
        "pipeline": lambda: pipeline(texts, settings, given.sample),
        "ray": lambda: ray(given.work, texts, given.ray_paragraphs),
        "kills": lambda: kills(given.work, texts, given.kills, given.kill_paragraphs),
        "broken": lambda: broken(given.work, given.files),
    }
    console = Console(width=120)
    console.print(f"{processor()}, {available_cores()} cores; {len(texts)} texts, repeated with changes")
    figures: Figures = {}
    for name, part in parts.items():
        if not given.only or name in given.only:
            figures[name] = part()
            console.print(name, figures[name])
            (given.work / "archive.json").write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", "utf-8")
    for folder in given.work.iterdir():
        if folder.is_dir():
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
