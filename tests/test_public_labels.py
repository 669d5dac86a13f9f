"""Labels that are shipped without their texts find them in a corpus."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.taxonomy import load_taxonomy
from policy_topics.errors import DataError
from policy_topics.feedback.corrections import clean_sha256
from policy_topics.text import clean
from train.public_labels import PUBLIC_LABELS, labelled_lines, read_labels

FARMS = "推进高标准农田建设，严守耕地红线。"
SCHOOLS = "学校要办好思政课。"


def test_each_labelled_line_is_found_once_and_others_are_left(tmp_path: Path) -> None:
    traditional = "學(xué)校要辦好思政課。"
    assert clean(traditional).text == SCHOOLS
    (tmp_path / "news.txt").write_text(f"{FARMS}\n别的话。\n\n{FARMS}\n{traditional}\n", "utf-8")
    labels = {clean_sha256(FARMS): ["agriculture"], clean_sha256(SCHOOLS): [], clean_sha256("不在其中。"): ["energy"]}
    rows = list(labelled_lines(tmp_path, labels))
    assert [(row["text"], row["labels"]) for row in rows] == [(FARMS, ["agriculture"]), (SCHOOLS, [])]


def test_the_shipped_labels_are_in_the_taxonomy_and_each_paragraph_is_named_once() -> None:
    labels, topics = read_labels(PUBLIC_LABELS), set(load_taxonomy().ids)
    assert len(labels) == len(PUBLIC_LABELS.read_text("utf-8").splitlines())
    assert all(len(set(given)) == len(given) <= 4 and topics.issuperset(given) for given in labels.values())


def test_a_file_of_labels_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n', "utf-8")
    with pytest.raises(DataError, match=r"a\.jsonl.*sha256"):
        read_labels(tmp_path / "a.jsonl")
