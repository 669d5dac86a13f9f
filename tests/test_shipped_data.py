"""The labelled paragraphs that come with the project."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from configs.settings import HOME, load_settings
from configs.taxonomy import load_taxonomy
from train.check import Checked, check

DATA = HOME / "data"
FILES = [DATA / "train.jsonl", DATA / "dev.jsonl", DATA / "test.jsonl"]


@pytest.fixture(scope="module")
def report() -> Checked:
    return check(FILES, load_taxonomy(), load_settings().data.duplicate_similarity)


def test_every_paragraph_can_be_read(report: Checked) -> None:
    assert not report.faults
    assert sum(len(file.read_text("utf-8").splitlines()) for file in FILES) == len(report.rows) > 1000


def test_cleaning_leaves_nothing_out(report: Checked) -> None:
    assert not report.warnings


def test_there_is_enough_of_everything(report: Checked) -> None:
    """The floors that the dataset card promises."""
    rows = report.rows
    assert len(rows) >= 3300
    assert min(sum(counts) for counts in report.topics.values()) >= 120
    several, none = (sum(wanted(len(row.labels)) for row in rows) / len(rows) for wanted in (_several, _none))
    assert 0.30 <= several <= 0.45
    assert 0.07 <= none <= 0.09


def _several(labels: int) -> bool:
    return labels >= 2


def _none(labels: int) -> bool:
    return labels == 0


def test_every_kind_of_writing_place_and_time_occurs() -> None:
    written = [json.loads(line) for file in FILES for line in file.read_text("utf-8").splitlines()]
    for field, values in (("genre", 10), ("level", 7), ("era", 6)):
        counts = Counter(row[field] for row in written)
        assert len(counts) == values
        assert min(counts.values()) >= 90


def test_the_name_of_a_topic_does_not_give_it_away(report: Checked) -> None:
    for topic in report.taxonomy.topics:
        carrying = [row for row in report.rows if topic.id in row.labels]
        assert sum(topic.zh in row.text for row in carrying) < 0.4 * len(carrying), topic.id


def test_every_paragraph_was_read_twice(report: Checked) -> None:
    readings = {row["id"]: row for row in map(json.loads, (DATA / "readings.jsonl").read_text("utf-8").splitlines())}
    assert set(readings) == {row.id for row in report.rows}
    agreed = [row for row in report.rows if readings[row.id]["first"] == readings[row.id]["second"]]
    assert all(list(row.labels) == readings[row.id]["first"] for row in agreed)


def test_every_topic_is_in_every_split(report: Checked) -> None:
    assert {topic: counts for topic, counts in report.topics.items() if 0 in counts} == {}


def test_splits_share_no_text_and_no_document(report: Checked) -> None:
    assert not report.shared_texts
    assert not report.shared_documents


def test_no_text_is_labelled_in_two_ways(report: Checked) -> None:
    assert not report.conflicts


def test_split_sizes_follow_the_settings(report: Checked) -> None:
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
    printed = CliRunner(env=no_terminal).invoke(app, ["data", "check", *map(str, FILES)]).stdout
    card = (DATA / "README.md").read_text("utf-8")
    figures = card.split("<!-- figures -->")[1].split("<!-- /figures -->")[0]
    assert _lines(figures) == _lines(printed), "paste the output of `data check` into data/README.md"


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def test_the_folder_is_a_hugging_face_dataset(report: Checked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    loaded = datasets.load_dataset(str(DATA), cache_dir=str(tmp_path))
    assert {name: len(rows) for name, rows in loaded.items()} == dict(
        zip(("train", "validation", "test"), map(len, report.rows_of.values()), strict=True)
    )
    assert [row["id"] for row in loaded["test"]] == [row.id for row in report.rows_of[FILES[2]]]
    assert {"id", "text", "labels", "genre", "level", "era"} == set(loaded["train"].column_names)
