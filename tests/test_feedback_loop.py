"""The loop: classify, correct, make data, retrain, promote, and classify again with the correction learnt."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from cli.main import app
from configs.settings import Settings, load_settings
from policy_topics.bundle import Provenance, load_bundle, write_manifest
from policy_topics.classifier import Classifier
from policy_topics.registry import promotion_mark, served_bundle
from serve.app import create_app
from tests import tiny
from tests.little_training import SUBJECTS, rows_of, write
from tests.service import classify, serving
from tests.test_takeover import until

SCHOOL_BUS = [
    f"{verb}校车接送线路和停靠站点{number}处。" for verb in ("规范", "扩大", "检查", "改善") for number in range(8)
]
"""What no training paragraph speaks of: people say that it is a topic that the model does not take it for."""


@dataclass(frozen=True, slots=True)
class House:
    """A folder with a model that serves, its data and its registry."""

    folder: Path
    file: Path
    settings: Settings

    def run(self, *arguments: str | Path) -> str:
        done = CliRunner().invoke(app, ["--config", str(self.file), *map(str, arguments)])
        assert done.exit_code == 0, done.output
        return done.output


@pytest.fixture
def house(tmp_path: Path, tiny_backbone: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.delenv("POLICY_TOPICS_REGISTRY")
    embedded = shutil.copytree(tiny_bundle, tmp_path / "embedded")
    write_manifest(embedded, Provenance("tiny", tiny.MAX_TOKENS, "none", parent=None), "bf16")  # as the new ones are
    monkeypatch.setattr("policy_topics.registry.EMBEDDED", embedded)
    monkeypatch.setattr("train.gate.SLOWNESS", 100.0)  # models so tiny take the time of whatever runs beside them
    files = {
        split: write(tmp_path / f"{split}.jsonl", rows_of(name, each))
        for split, name, each in (("train", "练", 40), ("dev", "校", 12), ("test", "测", 12))
    }
    (tmp_path / "my.yaml").write_text(
        f"""
bundle: null
registry: {tmp_path}/registry
feedback: {{url: "sqlite:///{tmp_path}/feedback.db"}}
data: {{files: [{files["train"]}], dev_files: [{files["dev"]}], test_files: [{files["test"]}], behaviour_files: [],
  duplicate_similarity: 1.0}}
finetune: {{backbone: {tiny_backbone}, epochs: 6, patience: 6, batch_paragraphs: 8, learning_rate: 3.0e-3,
  max_tokens: 48, dropout: 0.0}}
export: {{precision: bf16, max_f1_loss: 1.0}}
engine: {{threads: 1}}
""",
        "utf-8",
    )
    return House(tmp_path, tmp_path / "my.yaml", load_settings(tmp_path / "my.yaml"))


@pytest.fixture
def service(house: House, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """A service of the house's first model."""
    monkeypatch.setattr("serve.model.LOOK_SECONDS", 0.05)
    house.run("train", "--out", house.folder / "first")
    house.run("models", "promote", house.folder / "first")
    settings = house.settings
    yield from serving(
        create_app(
            settings,
            lambda: Classifier.load(served_bundle(settings), settings.engine),
            lambda: promotion_mark(settings),
        )
    )


def test_a_correction_is_learnt(house: House, service: TestClient) -> None:
    before = classify(service, *SCHOOL_BUS)
    given = [result["primary"] for result in before]
    right = min(SUBJECTS, key=given.count)  # what so small a model makes of texts unlike its own is chance
    assert given.count(right) < len(SCHOOL_BUS) // 2
    corrections = [
        {"id": str(uuid4()), "text": text, "new": [right],
         "old": [{"id": topic["id"], "probability": topic["probability"]} for topic in result["topics"]]}
        for text, result in zip(SCHOOL_BUS, before, strict=True)
    ]  # fmt: skip
    stored = service.post("/feedback", json={"items": corrections, "consent": True})
    assert stored.status_code == 201

    data, second = house.folder / "corrections.jsonl", house.folder / "second"
    house.run("data", "from-feedback", data)
    house.run("train", "--data", data, "--out", second)
    version = load_bundle(second).version
    house.run("models", "promote", version)

    until(lambda: service.get("/model").json()["version"] == version, 60)
    after = classify(service, *SCHOOL_BUS)
    assert [result["primary"] for result in after].count(right) == len(SCHOOL_BUS)
