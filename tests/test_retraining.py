"""The example in docs/retraining.md, command by command, on a tiny model; and the benchmark of retraining."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from configs.settings import HOME
from policy_topics.bundle import Provenance, load_bundle, write_manifest
from policy_topics.registry import Registry
from tests import tiny
from tests.little_training import rows_of, write

GUIDE = (HOME / "docs" / "retraining.md").read_text("utf-8")
COMMAND = ".venv/bin/policy-topics"


def example() -> list[str]:
    """The commands of the section, one line each."""
    section = GUIDE.partition("\n## A new topic\n")[2].partition("\n## ")[0]
    (block,) = re.findall(r"```bash\n(.*?)```", section, re.DOTALL)
    return str(block).replace("\\\n", "").splitlines()


@pytest.fixture
def home(tmp_path: Path, tiny_bundle: Path) -> Path:
    """A folder as the repository is, with little data and a tiny bundle that serves."""
    (tmp_path / "data").mkdir()
    for name, split, each in (("train", "练", 40), ("dev", "校", 12), ("test", "测", 12)):
        write(tmp_path / "data" / f"{name}.jsonl", rows_of(split, each))
    for name in ("configs", "examples"):
        (tmp_path / name).symlink_to(HOME / name)
    served = shutil.copytree(tiny_bundle, tmp_path / "served")
    write_manifest(served, Provenance("tiny", tiny.MAX_TOKENS, "none", parent=None), "bf16")  # as the new one is
    registry = Registry(tmp_path / "models" / "registry")
    registry.promote(registry.add(served))
    settings: dict[str, Any] = {
        "registry": str(tmp_path / "models" / "registry"),
        "data": {"behaviour_files": [], "duplicate_similarity": 1.0},  # a tiny model makes nothing of real texts
        "finetune": {
            "epochs": 6,
            "patience": 6,
            "batch_paragraphs": 8,
            "learning_rate": 3e-3,
            "max_tokens": 48,
            "dropout": 0.0,
        },
        "export": {"precision": "bf16", "max_f1_loss": 1.0},
        "engine": {"threads": 1},
    }
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(settings), "utf-8")
    return tmp_path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(url: str, body: dict[str, Any], version: str) -> dict[str, Any]:
    """The first answer of this version."""
    for _ in range(600):
        try:
            answer = httpx.post(url, json=body, timeout=5)
            if answer.status_code == 200 and answer.json()["model"]["version"] == version:
                return dict(answer.json())
        except httpx.TransportError:
            pass  # it is starting
        time.sleep(0.1)
    raise AssertionError(f"no answer of version {version}")


def test_a_new_topic_is_checked_trained_judged_promoted_served_and_rolled_back(home: Path) -> None:
    port, variables = free_port(), {}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("POLICY_TOPICS_")}
    environment |= {"PYTHONPATH": str(HOME), "POLICY_TOPICS_CONFIG": "my.yaml", "POLICY_TOPICS_SERVE__PORT": str(port)}
    service: subprocess.Popen[bytes] | None = None
    served = load_bundle(home / "served").version
    question: tuple[str, dict[str, Any]] | None = None
    try:
        for line in example():
            ours = line.replace(COMMAND, f"{shlex.quote(sys.executable)} -m cli.main").replace(":3000", f":{port}")
            if line.endswith("serve &"):
                command = [sys.executable, "-m", "cli.main", "serve"]
                service = subprocess.Popen(command, cwd=home, env=environment)
            elif line.startswith("export "):
                name, _, value = line.removeprefix("export ").partition("=")
                variables[name] = value
            elif line.startswith("unset "):
                del variables[line.removeprefix("unset ")]
            elif line.startswith("curl "):
                _, url, *_, body = shlex.split(ours)
                question = url, json.loads(body)
                new = load_bundle(home / "models" / "mine")
                answer = httpx.post(url, json=question[1], timeout=5).json()
                assert answer["model"]["version"] == new.version
                assert "low_altitude" in new.taxonomy.ids
                assert len(answer["results"]) == 1
            else:
                done = subprocess.run(
                    ["bash", "-c", ours], cwd=home, env=environment | variables, capture_output=True, text=True
                )
                assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        assert question is not None
        assert variables == {}
        assert answers(*question, served)["model"]["version"] == served
    finally:
        if service:
            service.terminate()
            service.wait(30)
    verdict = json.loads((home / "models" / "mine.verdict.json").read_text("utf-8"))
    assert verdict["incumbent"] == served
    assert list(verdict["new_topics"]) == ["low_altitude"]
    assert load_bundle(home / "models" / "mine").manifest.parent == served


def test_the_benchmark_of_retraining_runs(home: Path, tiny_backbone: Path) -> None:
    data = [f"--{name}={home / 'data' / name}.jsonl" for name in ("train", "dev", "test")]
    command = [sys.executable, "-m", "benchmarks.retraining", *data, f"--backbone={tiny_backbone}", "--rows=40"]
    done = subprocess.run(
        [*command, f"--work={home / 'work'}", f"--config={home / 'my.yaml'}"], cwd=HOME, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for name in ("before", "together", "new alone"):
        assert re.search(rf"^│ {name} +│ +[01]\.\d{{4}} │", done.stdout, re.MULTILINE), done.stdout
