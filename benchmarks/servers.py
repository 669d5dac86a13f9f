"""Servers that a benchmark asks: ours, and other ways to serve the same model. Each in processes of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from configs.settings import HOME

START_SECONDS = 180
OURS = "policy-topics"

Wrap = Callable[[list[str]], dict[str, Any]]
"""Texts to the JSON body that a server takes."""


@dataclass(frozen=True)
class Way:
    """One way to serve: a command, and how it is asked."""

    name: str
    command: Sequence[str]
    environment: dict[str, str]
    path: str
    ready: str
    wrap: Wrap


@dataclass(frozen=True)
class Server:
    """A way that runs."""

    way: Way
    url: str
    process: psutil.Popen
    start_seconds: float

    @property
    def classify(self) -> str:
        return self.url + self.way.path

    def ready(self) -> bool:
        return _answers(self.url + self.way.ready)

    def worker(self) -> psutil.Process:
        """Of ours: the process that answers."""
        (worker,) = [
            each for each in self.process.children() if "_bentoml_impl.worker.service" in each.cmdline()
        ]  # fmt: skip
        return worker


def ours(bundle: Path | None, threads: int, registry: Path | None = None) -> Way:
    """`policy-topics serve` on a bundle, or on what is promoted in a registry."""
    settings = {"bundle": bundle or "null", "registry": registry or "null", "engine.threads": threads}
    flags = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    return Way(
        OURS,
        [sys.executable, "-m", "cli.main", *flags, "--set", "serve.port={port}", "serve"],
        {},
        "/classify",
        "/readyz",
        lambda texts: {"items": [{"text": text} for text in texts]},
    )


def fastapi_pipeline(bundle: Path, threads: int) -> Way:
    """FastAPI around `transformers.pipeline` as it comes: fp32, one text after the other."""
    return Way(
        "FastAPI + transformers.pipeline",
        [sys.executable, "-m", "uvicorn", "--factory", "benchmarks.rivals:pipeline_app", "--port", "{port}",
         "--log-level", "warning"],
        _environment(bundle, threads),
        "/classify",
        "/ready",
        lambda texts: {"texts": texts},
    )  # fmt: skip


def bentoml_batching(bundle: Path, threads: int) -> Way:
    """BentoML's own batching, around the engine that is ours, too."""
    return Way(
        "BentoML batchable, our engine",
        [sys.executable, "-m", "bentoml", "serve", "benchmarks.rivals_bento:Batching", "--working-dir", str(HOME),
         "--port", "{port}"],
        {**_environment(bundle, threads), "BENTOML_DO_NOT_TRACK": "True"},
        "/classify",
        "/readyz",
        lambda texts: {"texts": texts},
    )  # fmt: skip


def infinity(binary: Path, bundle: Path, threads: int, folder: Path) -> Way:
    """Infinity with PyTorch, from an environment of its own. `folder` gets a copy of the model that it can read."""
    return Way(
        "Infinity",
        [str(binary), "v2", "--model-id", str(_for_transformers_4(bundle, folder)), "--served-model-name", "model",
         "--engine", "torch", "--device", "cpu", "--no-bettertransformer", "--no-model-warmup", "--host", "127.0.0.1",
         "--port", "{port}", "--log-level", "warning"],
        {**_environment(bundle, threads), "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1"},
        "/classify",
        "/health",
        lambda texts: {"model": "model", "input": texts},
    )  # fmt: skip


@contextmanager
def running(way: Way, cores: Sequence[int], log: Path) -> Iterator[Server]:
    """The server, once it is ready; on these cores. What it prints goes to `log`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "PYTHONPATH": str(HOME), **way.environment}
    start = time.perf_counter()
    with log.open("w") as out:
        process = psutil.Popen(
            [part.replace("{port}", str(port)) for part in way.command],
            cwd=HOME, env=environment, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        pin(process.pid, cores)
        url = f"http://127.0.0.1:{port}"
        while not _answers(url + way.ready):
            if process.poll() is not None or time.perf_counter() - start > START_SECONDS:
                raise SystemExit(f"{way.name} does not start; see {log}")
            time.sleep(0.02)
        yield Server(way, url, process, time.perf_counter() - start)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(90)
        except psutil.TimeoutExpired:
            for each in (*process.children(recursive=True), process):
                each.kill()
            process.wait()


def pin(pid: int, cores: Sequence[int]) -> None:
    """Keep a process, and those that it will start, to these cores, where the system can do that."""
    if hasattr(os, "sched_setaffinity") and cores:
        os.sched_setaffinity(pid, cores)


def divided(threads: int) -> tuple[list[int], list[int]]:
    """Cores of the servers and of the clients: apart if there are more than `threads`, else all for both."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return (cores[:threads], cores[threads:]) if len(cores) > threads else (cores, cores)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=60).status_code == 200
    except httpx.TransportError:
        return False


def _environment(bundle: Path, threads: int) -> dict[str, str]:
    return {"RIVAL_BUNDLE": str(bundle.absolute()), "RIVAL_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}


def _for_transformers_4(bundle: Path, folder: Path) -> Path:
    """Infinity wants transformers 4, which has other names for the tokenizer's class and for attention everywhere."""
    folder.mkdir(parents=True)
    shutil.copy(bundle / "model.safetensors", folder)
    shutil.copy(bundle / "tokenizer.json", folder)
    for name, changes in (
        ("config.json", {"global_attn_every_n_layers": 1, "dtype": "float32"}),
        ("tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast"}),
    ):
        content = json.loads((bundle / name).read_text("utf-8")) | changes
        (folder / name).write_text(json.dumps(content), "utf-8")
    return folder
