"""Dirt: that it is the dirt it says, the same each time, and that cleaning takes off what it should."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest

from benchmarks.robustness import dirty_line, standings
from configs.taxonomy import load_taxonomy
from policy_topics.classifier import Classifier
from policy_topics.text import clean
from train.dataset import read
from train.dirt import KINDS, LOOKALIKES, full_width, glossed, half_width, inner_spaces, lost_spaces, mix, ocr, soil

TEXT = (
    "会议强调，要学习贯彻有关部署（2021年），坚持安全第一；加快GDP核算改革：全年增长12.5%，好于预期！"
    "各地要着力发展普惠教育，推动我们的学校办得更好。 各乡镇要落实责任，关心群众干净饮水问题。"
)
SEEDS = range(12)


@pytest.mark.parametrize("kind", [*KINDS, "mix"])
def test_the_same_seed_gives_the_same_dirt_and_some_seed_gives_dirt(kind: str) -> None:
    dirt = {**KINDS, "mix": mix}[kind]
    found = [soil(TEXT, dirt, seed) for seed in SEEDS]
    assert found == [soil(TEXT, dirt, seed) for seed in SEEDS]
    assert any(text != TEXT for text in found)


@pytest.mark.parametrize("kind", ["OCR", "inner spaces", "sentence breaks", "Traditional + pinyin"])
def test_another_seed_gives_other_dirt(kind: str) -> None:
    assert len({soil(TEXT, KINDS[kind], seed) for seed in SEEDS}) > 1


@pytest.mark.parametrize("kind", ["full-width", "Traditional", "Traditional + pinyin"])
def test_cleaning_brings_the_text_back(kind: str) -> None:
    assert clean(TEXT).text == TEXT
    assert [clean(soil(TEXT, KINDS[kind], seed)).text for seed in SEEDS] == [TEXT] * len(SEEDS)


def test_cleaning_brings_half_width_marks_next_to_han_back() -> None:
    text = "会议要求，各县（区）要抓好落实；责任到人：一抓到底！好不好？要抓好。"
    dirty = [half_width(text, Random(seed)) for seed in SEEDS]
    assert "会议要求,各县(区)要抓好落实;责任到人:一抓到底!好不好?要抓好." in dirty
    assert {clean(each).text for each in dirty} == {text}


def test_straight_quotation_marks_stay_as_they_are() -> None:
    dirty = {half_width("建设“数字政府”", Random(seed)) for seed in SEEDS}
    assert dirty == {"建设“数字政府”", '建设"数字政府"'}
    assert clean('建设"数字政府"').text == '建设"数字政府"'


def test_full_width_letters_and_digits_alone_change() -> None:
    assert full_width("GDP增长12.5%", Random(0)) == "ＧＤＰ增长１２.５%"


def test_pinyin_stands_behind_traditional_characters() -> None:
    pages = [glossed("学习发展教育", Random(seed)) for seed in SEEDS]
    assert "學(xué)習(xí)發(fā)展(zhǎn)教(jiào)育(yù)" in pages  # all characters
    assert "學(xué)習(xí)發(fā)展教育" in pages  # the converted ones
    assert any("學習(xí)" in page or "學(xué)習發" in page for page in pages)  # some of those


def test_a_page_glosses_a_character_wherever_it_stands() -> None:
    for seed in SEEDS:
        assert glossed("学习学习学习", Random(seed)).count("(xué)") in (0, 3)


def test_spaces_stand_between_han_characters_alone() -> None:
    dirty = inner_spaces("第12条，GDP" * 50 + "办好学校" * 200, Random(1))
    assert lost_spaces(dirty, Random(1)) == "第12条，GDP" * 50 + "办好学校" * 200
    assert 20 < sum(map(str.isspace, dirty)) < 60  # 799 gaps, a twentieth of them
    assert "第12条，GDP" * 50 in dirty


def test_breaks_stand_behind_sentences() -> None:
    dirty = KINDS["sentence breaks"]("会议结束。" * 100, Random(1))
    assert {piece for piece in dirty.split() if piece} <= {"会议结束。" * n for n in range(1, 30)}
    assert 30 < len(dirty.split()) < 70


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.05])
def test_ocr_changes_the_asked_share_of_the_characters(rate: float) -> None:
    dirty = "".join(ocr(TEXT, Random(seed), rate) for seed in range(300))
    changed = [(old, new) for old, new in zip(TEXT * 300, dirty, strict=True) if old != new]
    assert len(changed) / len(dirty) == pytest.approx(rate, rel=0.1)
    assert all(new in LOOKALIKES[old] for old, new in changed)


def test_ocr_reads_digits_as_letters() -> None:
    assert ocr("2010", Random(0), rate=1.0) == "2OlO"


def test_cleaning_does_not_undo_what_ocr_misread() -> None:
    around = "市{}市"
    assert [c for c in LOOKALIKES if clean(around.format(c)).text != around.format(c)] == []


def test_characters_that_look_alike_do_so_both_ways() -> None:
    assert all(old in LOOKALIKES[new] for old, news in LOOKALIKES.items() for new in news)
    assert all(old not in news and news for old, news in LOOKALIKES.items())


def test_a_dirty_set_keeps_labels_and_all_other_keys(tmp_path: Path) -> None:
    taxonomy = load_taxonomy()
    record = {"id": "a", "text": TEXT, "labels": ["education", "emergency"], "document": "d", "note": 1}
    file, out = tmp_path / "rows.jsonl", tmp_path / "dirty.jsonl"
    file.write_text("".join(json.dumps(record | {"id": str(n), "text": f"{n}、{TEXT}"}) + "\n" for n in SEEDS), "utf-8")
    rows = read([file], taxonomy)
    out.write_text("".join(dirty_line(row, seed=7) for row in rows), "utf-8")
    dirty = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert [each | {"id": "a", "text": TEXT} for each in dirty] == [record] * len(rows)
    assert any(each["text"] != row.text for each, row in zip(dirty, rows, strict=True))
    assert [row.labels for row in read([out], taxonomy)] == [row.labels for row in rows]


def test_dirt_that_cleaning_takes_off_changes_no_topic(classifier: Classifier, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(
        "".join(json.dumps({"text": f"{n}、{TEXT}", "labels": ["education"]}) + "\n" for n in SEEDS), "utf-8"
    )
    found = {each.name: each for each in standings(classifier, read([file], load_taxonomy()), seed=7)}
    assert list(found) == ["clean", *KINDS, "mix"]
    for name in ("full-width", "Traditional", "Traditional + pinyin"):
        assert found[name].restored == 1
        assert (found[name].predicted == found["clean"].predicted).all()
    assert found["OCR"].restored < 1
