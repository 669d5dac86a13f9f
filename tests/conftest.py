from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from configs.settings import load_settings
from policy_topics.classifier import Classifier
from serve.app import create_app
from tests import tiny
from tests.service import serving, settings


@pytest.fixture(autouse=True)
def _no_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is promoted in this folder is nothing to the tests."""
    monkeypatch.setenv("POLICY_TOPICS_REGISTRY", "null")


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny bundle that tests read and do not change."""
    return tiny.tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


@pytest.fixture(scope="session")
def tiny_backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Hugging Face folder to fine-tune."""
    return tiny.tiny_backbone(tmp_path_factory.mktemp("backbone") / "tiny")


@pytest.fixture(scope="module")
def classifier(tiny_bundle: Path) -> Classifier:
    return Classifier.load(tiny_bundle, load_settings().engine)


@pytest.fixture(scope="module")
def client(classifier: Classifier) -> Iterator[TestClient]:
    yield from serving(create_app(settings(), lambda: classifier))


@pytest.fixture(scope="module")
def small(classifier: Classifier) -> Iterator[TestClient]:
    """A service with small limits."""
    limits = settings(max_body_bytes=2000, max_items=3, max_item_characters=50, max_document_characters=120)
    yield from serving(create_app(limits, lambda: classifier))
