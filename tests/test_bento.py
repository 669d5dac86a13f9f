"""The bento: what it packs is enough to serve, away from this folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from configs.settings import HOME

CLASSIFY = """
import sys, time
sys.path = [path for path in sys.path if path != sys.argv[2]]
from starlette.testclient import TestClient
from serve import service

assert service.__file__.startswith(sys.argv[1]), service.__file__
with TestClient(service.PolicyTopics.to_asgi()) as client:
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


@pytest.fixture(scope="module")
def bento(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `src` folder of a bento, built of a copy of this folder that has the tiny model embedded."""
    home, source = tmp_path_factory.mktemp("bentoml"), tmp_path_factory.mktemp("source")
    for name in ("configs", "policy_topics", "serve", "tests"):
        shutil.copytree(HOME / name, source / name)
    for name in ("bentofile.yaml", "requirements.txt"):
        shutil.copy(HOME / name, source)
    shutil.copytree(tiny_bundle, source / "models" / "default")
    python(source, home, "-m", "bentoml", "build", "--version", "test", ".")
    return home / "bentos" / "policy_topics" / "test" / "src"


def python(folder: Path, home: Path, *arguments: str) -> str:
    """Run Python in a folder, with nothing of this process's import path or settings."""
    outer = {name: value for name, value in os.environ.items() if not name.startswith(("POLICY_TOPICS_", "PYTHONPATH"))}
    environment = {**outer, "BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True"}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_bento_serves_from_its_own_files(bento: Path) -> None:
    python(bento, bento.parent, "-c", CLASSIFY, str(bento), str(HOME))


def test_a_bento_holds_what_serving_needs_and_no_more(bento: Path) -> None:
    assert {path.name for path in bento.iterdir() if path.is_dir()} == {"configs", "models", "policy_topics", "serve"}
    assert not list(bento.rglob("__pycache__"))


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
