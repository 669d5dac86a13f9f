"""The labelled paragraphs that come with the project."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.data import app
from configs.settings import HOME, load_settings
from configs.taxonomy import load_taxonomy
from train.check import Report, check

DATA = HOME / "data"
FILES = [DATA / "train.jsonl", DATA / "dev.jsonl", DATA / "test.jsonl"]


@pytest.fixture(scope="module")
def report() -> Report:
    return check(FILES, load_taxonomy(), load_settings().data.duplicate_similarity)


def test_every_paragraph_can_be_read(report: Report) -> None:
    assert not report.faults
    assert sum(len(file.read_text("utf-8").splitlines()) for file in FILES) == len(report.rows) > 1000


def test_cleaning_leaves_nothing_out(report: Report) -> None:
    assert not report.warnings


def test_every_topic_is_in_every_split(report: Report) -> None:
    assert {topic: counts for topic, counts in report.topics.items() if 0 in counts} == {}


def test_splits_share_no_text_and_no_document(report: Report) -> None:
    assert not report.shared_texts
    assert not report.shared_documents


def test_no_text_is_labelled_in_two_ways(report: Report) -> None:
    assert not report.conflicts


def test_split_sizes_follow_the_settings(report: Report) -> None:
    wanted = load_settings().data
    train, dev, test = (len(rows) / len(report.rows) for rows in report.rows_of.values())
    assert dev == pytest.approx(wanted.dev_share, abs=0.01)
    assert test == pytest.approx(wanted.test_share, abs=0.01)
    assert train == pytest.approx(1 - wanted.dev_share - wanted.test_share, abs=0.01)


def test_the_default_settings_name_these_files() -> None:
    named = load_settings().data
    assert [HOME / file for file in (*named.files, *named.dev_files, *named.test_files)] == FILES


def test_the_card_shows_what_the_check_prints() -> None:
    no_terminal = {"FORCE_COLOR": "", "TTY_COMPATIBLE": "0"}
    printed = CliRunner(env=no_terminal).invoke(app, ["check", *map(str, FILES)]).stdout
    card = (DATA / "README.md").read_text("utf-8")
    figures = card.split("<!-- figures -->")[1].split("<!-- /figures -->")[0]
    assert _lines(figures) == _lines(printed), "paste the output of `data check` into data/README.md"


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def test_the_folder_is_a_hugging_face_dataset(report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    loaded = datasets.load_dataset(str(DATA), cache_dir=str(tmp_path))
    assert {name: len(rows) for name, rows in loaded.items()} == dict(
        zip(("train", "validation", "test"), map(len, report.rows_of.values()), strict=True)
    )
    assert [row["id"] for row in loaded["test"]] == [row.id for row in report.rows_of[FILES[2]]]
    assert {"id", "text", "labels", "genre", "level", "era"} == set(loaded["train"].column_names)
