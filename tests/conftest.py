from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from benchmarks.kills import renamed
from configs.settings import Settings, load_settings
from policy_topics.classifier import Classifier
from policy_topics.registry import Registry
from serve.app import create_app
from tests import tiny
from tests.little_training import TAXONOMY, settings_for
from tests.service import serving, settings
from train.pipeline import train


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


@pytest.fixture(scope="session")
def little(tmp_path_factory: pytest.TempPathFactory, tiny_backbone: Path) -> Settings:
    """Of a training that takes seconds."""
    return settings_for(tmp_path_factory.mktemp("data"), tiny_backbone)


@pytest.fixture(scope="session")
def trained(little: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle that it makes."""
    folder = tmp_path_factory.mktemp("trained")
    train(little, TAXONOMY, folder / "model", folder / "work", say=lambda _: None)
    return folder / "model"


@pytest.fixture
def registry(tmp_path: Path, tiny_bundle: Path) -> Registry:
    """An empty one, with the tiny bundle to serve while nothing is promoted."""
    return Registry(tmp_path / "registry", default=tiny_bundle)


@pytest.fixture(scope="session")
def bundles(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two more versions of the tiny bundle."""
    folder = tmp_path_factory.mktemp("bundles")
    return renamed(tiny_bundle, folder / "a", "甲 (a)"), renamed(tiny_bundle, folder / "b", "b")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, for the tests of the page."""
    from tests.browser import chromium  # skips where Playwright is missing

    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def small_page(classifier: Classifier, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the page of a service is that takes bodies of 60 KB."""
    from tests.browser import page_of, page_settings

    app = create_app(page_settings(tmp_path_factory.mktemp("page"), serve__max_body_bytes=60_000), lambda: classifier)
    with page_of(app) as address:
        yield address
