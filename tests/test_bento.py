"""The bento: what it packs is enough to serve, away from this folder."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import httpx
import pytest

from configs.settings import HOME
from policy_topics.client import Client, Corrected
from policy_topics.registry import Registry

CLASSIFY = """
import sys, time
sys.path = [path for path in sys.path if path != sys.argv[2]]
from starlette.testclient import TestClient
from serve import service

assert service.__file__.startswith(sys.argv[1]), service.__file__
with TestClient(service.PolicyTopics.to_asgi(), client=("127.0.0.1", 50000)) as client:
    while client.get("/readyz").status_code != 200:
        assert client.get("/livez").status_code == 200, "the model cannot be loaded"
        time.sleep(0.05)
    answer = client.post("/classify", json={"items": [{"text": "推进高标准农田建设。"}]})
    assert answer.status_code == 200, answer.text
    assert answer.json()["results"][0]["windows"] == 1
    assert set(client.get("/docs.json").json()["paths"]) >= {"/classify", "/classify_document"}
    for path in ("/nowhere", "/assets/x", "/static_content/x"):
        assert client.get(path).headers["content-type"] == "application/problem+json", path
    assert client.post("/readyz").json()["code"] == "method_not_allowed"
    assert "policy_topics_requests_total" in client.get("/metrics").text
    assert "政策主题" in client.get("/").text
assert "torch" not in sys.modules
"""


TEXT = "推进高标准农田建设。"

READ_ONLY = """
mount -o remount,bind,ro /
for folder in tmp data; do mount -t tmpfs none "$1/$folder"; done
export TMPDIR=$1/tmp HOME=/nowhere BENTOML_HOME=$1/tmp/bentoml
export POLICY_TOPICS_REGISTRY=$1/registry POLICY_TOPICS_FEEDBACK__URL=sqlite:///$1/data/feedback.db
cd /
exec setpriv --bounding-set=-all --inh-caps=-all --no-new-privs \
    "$0" -m bentoml serve "$1/bento" --host 127.0.0.1 --port "$2"
"""
"""A service without capabilities, on a disk where only its temporary folder and its data can be written."""


def can_mount() -> bool:
    """Whether this process may make a disk read-only for its children alone."""
    command = ["unshare", "--mount", "sh", "-c", "mount -o remount,bind,ro / && command -v setpriv"]
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def bento(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `src` folder of a bento, built of a copy of this folder that has the tiny model embedded."""
    home, source = tmp_path_factory.mktemp("bentoml"), tmp_path_factory.mktemp("source")
    for name in ("configs", "deploy", "policy_topics", "serve", "tests"):
        shutil.copytree(HOME / name, source / name)
    for name in ("bentofile.yaml", "requirements.txt"):
        shutil.copy(HOME / name, source)
    shutil.copytree(tiny_bundle, source / "models" / "default")
    python(source, home, "-m", "bentoml", "build", "--version", "test", ".")
    return home / "bentos" / "policy_topics" / "test" / "src"


def python(folder: Path, home: Path, *arguments: str) -> str:
    """Run Python in a folder, with nothing of this process's import path or settings, and leave the folder as it is."""
    outer = {name: value for name, value in os.environ.items() if not name.startswith(("POLICY_TOPICS_", "PYTHONPATH"))}
    own = {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True", "PYTHONDONTWRITEBYTECODE": "1"}
    environment = {**outer, **own}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_bento_serves_from_its_own_files(bento: Path) -> None:
    python(bento, bento.parent, "-c", CLASSIFY, str(bento), str(HOME))


def test_a_bento_holds_what_serving_needs_and_no_more(bento: Path) -> None:
    assert {path.name for path in bento.iterdir() if path.is_dir()} == {"configs", "models", "policy_topics", "serve"}
    assert not list(bento.rglob("__pycache__"))


def test_its_image_is_small_and_its_service_owns_nothing_but_its_data(bento: Path) -> None:
    steps = (bento.parent / "env" / "docker" / "Dockerfile").read_text("utf-8").splitlines()
    assert [step for step in steps if step.startswith("FROM")] == ["FROM python:3.11-slim as base-container"]
    assert [step for step in steps if step.startswith("USER")] == ["USER bentoml"]
    assert steps.index("USER bentoml") > max(i for i, step in enumerate(steps) if step.startswith(("RUN", "COPY")))
    assert not any("apt-get" in step or "--chown" in step for step in steps)
    assert "ENV BENTOML_DO_NOT_TRACK=$BENTOML_DO_NOT_TRACK" in steps
    assert "ENV BENTOML_HOME=/tmp/bentoml" in steps


def test_its_build_context_is_little_more_than_the_model(bento: Path) -> None:
    model = sum(file.stat().st_size for file in (bento / "models").rglob("*") if file.is_file())
    whole = sum(file.stat().st_size for file in bento.parent.rglob("*") if file.is_file())
    assert whole - model < 3_000_000


@pytest.mark.skipif(not can_mount(), reason="mounting needs root and Linux")
def test_it_serves_from_a_read_only_disk_without_capabilities(bento: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root, port = Path(folder), free_port()
        shutil.copytree(bento.parent, root / "bento")
        registry = Registry(root / "registry")
        registry.promote(registry.add(bento / "models" / "default"))
        for writable in ("tmp", "data"):
            (root / writable).mkdir()
        with subprocess.Popen(
            ["unshare", "--mount", "sh", "-euc", READ_ONLY, sys.executable, str(root), str(port)],
            env={"PATH": os.environ["PATH"], "BENTOML_DO_NOT_TRACK": "True"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as server:
            try:
                url = f"http://127.0.0.1:{port}"
                with Client(url, tries=200, patience=120) as client:
                    (given,) = client.classify([TEXT])
                    assert given.windows == 1
                    assert client.classify_document(HOME / "examples" / "meeting.txt").paragraphs
                    assert client.feedback([Corrected(TEXT, given, ("agriculture",))], consent=True)
                assert httpx.get(f"{url}/metrics").status_code == 200
            finally:
                server.terminate()
                log = server.communicate(timeout=60)[0]
        assert "Read-only" not in log and "Permission denied" not in log, log


def test_its_requirements_are_the_projects_pinned_and_without_torch() -> None:
    project = tomllib.loads((HOME / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = {name_of(dependency) for dependency in project["dependencies"]}
    lines = [line for line in (HOME / "requirements.txt").read_text("utf-8").splitlines() if line[:1] not in ("", "#")]
    assert all("==" in line for line in lines)
    pinned = {name_of(line) for line in lines}
    assert wanted <= pinned
    assert not pinned & {name_of(dependency) for dependency in project["optional-dependencies"]["train"]}


def name_of(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower().replace("_", "-")
