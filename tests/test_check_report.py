"""What `data check --report` finds beyond single rows: leaks, doubtful labels, drift; and the report that it writes."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest

from configs.taxonomy import load_taxonomy
from tests.test_data_cli import finding, run, write
from train.check import RARE, Checked, check
from train.dataset import LabelledParagraph
from train.drift import drift
from train.label_errors import FOLDS, out_of_fold, suspects

TAXONOMY = load_taxonomy()
SUBJECTS = {"education": "学校教师招生考试", "transport": "公路铁路公交客运", "energy": "电力煤炭油气储能"}
VERBS = "推进规范改善调查扩大减少清理公开研究检查"
SIMILARITY = 0.8


def sentence(topic: str, number: int, source: str = "甲") -> str:
    """Of two sources, they are not near-duplicates."""
    words, verb = SUBJECTS[topic], number % 10 * 2
    start = number % 8
    verbs, turned = VERBS[verb : verb + 2], words[start:] + words[:start]
    return f"{verbs}{source}{turned}{source}工作，{words[:4]}{source}第{number}批。"


def records(each: int, source: str = "甲", **rest: Any) -> list[dict[str, Any]]:
    """Paragraphs of three topics that their words tell apart, two of a document."""
    return [
        {"text": sentence(topic, i, source), "labels": [topic], "document": f"{source}{topic}{i // 2}", **rest}
        for topic in SUBJECTS
        for i in range(each)
    ]


def paragraphs(each: int, source: str = "甲", topics: Sequence[str] = tuple(SUBJECTS)) -> list[LabelledParagraph]:
    rows = [row for row in records(each, source) if row["labels"][0] in topics]
    return [
        LabelledParagraph(id=f"{source}{i}", text=row["text"], labels=tuple(row["labels"]), document=row["document"])
        for i, row in enumerate(rows)
    ]


def checked(new: Path, against: Sequence[Path] = (), frozen: Sequence[Path] = ()) -> Checked:
    return check([new], TAXONOMY, SIMILARITY, against, frozen)


class TestFrozen:
    def test_a_like_text_in_the_frozen_files_is_a_leak(self, tmp_path: Path) -> None:
        text = "县教育局本学年改造四所寄宿制小学的食堂，并为偏远教学点各配一名英语教师。"
        new = write(tmp_path / "new.jsonl", {"text": text, "labels": []}, {"text": "另一段。", "labels": []})
        frozen = write(tmp_path / "test.jsonl", {"text": text.replace("。", "！"), "labels": []})
        (leak,) = checked(new, frozen=[frozen]).leaks
        assert (leak.row, leak.frozen, leak.reason) == (0, 2, "text")

    def test_texts_that_a_chain_of_likenesses_connects_leak_together(self, tmp_path: Path) -> None:
        words = "".join(chr(0x4E00 + i) for i in range(80))
        texts = [words, words[4:] + "甲乙丙丁", words[8:] + "甲乙丙丁戊己庚辛"]
        new = write(tmp_path / "new.jsonl", *({"text": text, "labels": []} for text in texts[1:]))
        frozen = write(tmp_path / "test.jsonl", {"text": texts[0], "labels": []})
        assert len(checked(new, frozen=[frozen]).leaks) == 2

    def test_a_document_in_the_frozen_files_is_a_leak(self, tmp_path: Path) -> None:
        new = write(tmp_path / "new.jsonl", {"text": "一段。", "labels": [], "document": "d"})
        old = write(tmp_path / "old.jsonl", {"text": "又一段。", "labels": [], "document": "d"})
        frozen = write(tmp_path / "test.jsonl", {"text": "另一段。", "labels": [], "document": "d"})
        leaks = checked(new, [old], [frozen]).leaks
        assert [(leak.row, leak.reason) for leak in leaks] == [(0, "document"), (1, "document")]

    def test_the_command_line_names_leaks_and_what_to_do(self, tmp_path: Path) -> None:
        new, frozen = (write(tmp_path / f"{name}.jsonl", *records(2)) for name in ("new", "test"))
        result = run("check", new, "--frozen", frozen)
        assert finding(result.stdout, "In the frozen files too") == 6
        assert "delete them" in result.stdout and f"{new}:1 ≈ {frozen}:1" in result.stdout

    def test_frozen_paragraphs_do_not_count_towards_the_floor(self, tmp_path: Path) -> None:
        new = write(tmp_path / "new.jsonl", *records(RARE - 1))
        frozen = write(tmp_path / "test.jsonl", *records(RARE, "乙"))
        assert checked(new, frozen=[frozen]).rare_topics["energy"] == RARE - 1
        assert "energy" not in checked(new, against=[frozen]).rare_topics


class TestDoubtfulLabels:
    @pytest.fixture(scope="class")
    @classmethod
    def rows(cls) -> list[LabelledParagraph]:
        rows = paragraphs(30)
        rows[4] = LabelledParagraph(id="wrong", text=rows[4].text, labels=("energy",), document=rows[4].document)
        rows[40] = LabelledParagraph(id="missing", text=rows[40].text, labels=(), document=rows[40].document)
        return rows

    def test_planted_errors_come_first(self, rows: list[LabelledParagraph]) -> None:
        found = suspects(rows, [[i] for i in range(len(rows))], TAXONOMY)
        first = {rows[each.row].id: each for each in found[:2]}
        assert first.keys() == {"wrong", "missing"}
        assert "energy" in first["wrong"].carried and "education" in first["wrong"].missing
        assert list(first["missing"].missing) == ["transport"] and not first["missing"].carried
        assert [each.belief for each in found] == sorted(each.belief for each in found)

    def test_no_paragraph_is_judged_by_its_own_group(self) -> None:
        rows = paragraphs(10)
        group = [i for i, row in enumerate(rows) if row.labels == ("energy",)]
        groups = [group, *([i] for i in range(len(rows)) if i not in group)]
        column = TAXONOMY.ids.index("energy")
        alone = out_of_fold(rows, [[i] for i in range(len(rows))], TAXONOMY)[group, column]
        together = out_of_fold(rows, groups, TAXONOMY)[group, column]
        assert np.mean(together) < np.mean(alone)

    def test_too_little_to_learn_from_gives_no_list(self) -> None:
        rows = paragraphs(3)
        assert suspects(rows, [[i] for i in range(len(rows))], TAXONOMY) == ()
        assert suspects(rows, [list(range(len(rows)))], TAXONOMY) == ()
        assert suspects(rows[: FOLDS - 1], [[i] for i in range(FOLDS - 1)], TAXONOMY) == ()

    def test_what_is_compared_with_teaches_but_is_not_listed(self, tmp_path: Path) -> None:
        wrong = {"text": sentence("transport", 3, "乙"), "labels": ["energy"]}
        old = records(30)
        old[0]["labels"] = ["transport"]
        report = checked(write(tmp_path / "new.jsonl", wrong), [write(tmp_path / "old.jsonl", *old)])
        assert [each.row for each in report.suspects] == [0]


class TestDrift:
    def test_a_random_half_is_no_drift(self) -> None:
        rows, alarms = paragraphs(30), 0
        for seed in range(20):
            halves: tuple[list[LabelledParagraph], list[LabelledParagraph]] = ([], [])
            for row in rows:
                halves[crc32(f"{seed} {row.document}".encode()) % 2].append(row)
            found = drift(*halves, TAXONOMY)
            assert found is not None
            alarms += found.length.is_drift + found.labels.is_drift + found.vocabulary.is_drift
            alarms += any(each.is_drift for each in found.topics)
        assert alarms <= 8  # of 80, each with a chance of one in twenty

    def test_other_topics_and_words_are(self) -> None:
        found = drift(paragraphs(40, "乙", ["energy", "transport"]), paragraphs(40), TAXONOMY)
        assert found is not None
        assert found.labels.is_drift and found.vocabulary.is_drift
        moved = {each.topic: each.new - each.old for each in found.topics if each.is_drift}
        assert moved.keys() >= {"education"} and moved["education"] == pytest.approx(-1 / 3)
        assert "学校" in [term.pair for term in found.terms if term.new < term.old]

    def test_longer_paragraphs_are(self) -> None:
        old = paragraphs(30)
        new = [LabelledParagraph(id=f"l{row.id}", text=row.text * 3, labels=row.labels) for row in old]
        found = drift(new, old, TAXONOMY)
        assert found is not None
        assert found.length.is_drift and found.length.value == pytest.approx(1, abs=0.05)
        assert not found.labels.is_drift

    def test_one_document_more_is_one_draw_however_many_paragraphs_it_has(self) -> None:
        old = paragraphs(40)
        one = [
            LabelledParagraph(id=f"n{i}", text=sentence("energy", i), labels=("energy",), document="one")
            for i in range(40)
        ]
        apart = [LabelledParagraph(id=row.id, text=row.text, labels=row.labels, document=row.id) for row in one]
        together, separate = drift(one, old, TAXONOMY), drift(apart, old, TAXONOMY)
        assert together is not None and separate is not None
        assert together.labels.value == pytest.approx(separate.labels.value)
        assert together.labels.chance > separate.labels.chance
        assert separate.labels.is_drift and not together.labels.is_drift

    def test_nothing_to_compare_with_is_no_drift(self) -> None:
        assert drift(paragraphs(2), [], TAXONOMY) is None
        assert drift([], paragraphs(2), TAXONOMY) is None


class TestReport:
    @pytest.fixture(scope="class")
    @classmethod
    def folder(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        folder = tmp_path_factory.mktemp("check")
        odd = [{"text": "一段。", "labels": ["enegry"]}, {"text": "两段。", "labels": []}]
        new = [*records(20, "乙"), *odd]
        new[0]["labels"] = ["energy"]
        new.append({"text": new[5]["text"], "labels": ["urban"]})
        old, frozen = records(30, "甲"), [records(30, "甲")[0], *records(2, "戊")]
        files = [
            write(folder / f"{name}.jsonl", *rows) for name, rows in (("new", new), ("old", old), ("test", frozen))
        ]
        result = run(
            "check", files[0], "--against", files[1], "--frozen", files[2], "--report", folder / "deep" / "report"
        )
        assert result.exit_code == 1
        assert str(folder / "deep" / "report" / "report.html") in result.stdout
        return folder / "deep" / "report"

    def test_the_json_has_every_finding(self, folder: Path) -> None:
        report = json.loads((folder / "report.json").read_text("utf-8"))
        assert [file["role"] for file in report["files"]] == ["new", "against", "frozen"]
        assert "enegry" in report["faults"][0]
        assert report["leaks"][0]["row"]["place"].endswith("old.jsonl:1")
        assert sum(repeat["conflict"] for repeat in report["repeats"]) == 1
        assert report["doubts"][0]["row"]["place"].endswith("new.jsonl:1")
        assert report["drift"]["new_paragraphs"] == 62
        counts = {each["topic"]: (each["new"], each["against"], each["frozen"]) for each in report["topics"]}
        assert counts["transport"] == (20, 30, 2)

    def test_the_page_stands_alone_and_is_in_both_languages(self, folder: Path) -> None:
        page = (folder / "report.html").read_text("utf-8")
        assert {file.name for file in folder.iterdir()} == {"report.html", "report.json"}
        assert not re.search(r'(?:src|href)="(?!#|data:)', page)
        assert page.count("data:image/svg+xml;base64,") == 3
        for heading in ("可疑的标注 Doubtful labels", "泄漏", "重复 Duplicates", "新旧数据的差别 New data against old"):
            assert heading in page

    def test_texts_are_shown_as_they_are(self, tmp_path: Path) -> None:
        twice = [{"text": "<b>丙</b>一段", "labels": []}] * 2
        run("check", write(tmp_path / "a.jsonl", *twice), "--report", tmp_path / "report")
        page = (tmp_path / "report" / "report.html").read_text("utf-8")
        assert "&lt;b&gt;丙&lt;/b&gt;一段" in page and "<b>丙" not in page

    def test_without_anything_to_compare_with_there_is_no_drift(self, tmp_path: Path) -> None:
        run("check", write(tmp_path / "a.jsonl", *records(2)), "--report", tmp_path / "report")
        assert json.loads((tmp_path / "report" / "report.json").read_text("utf-8"))["drift"] is None
        assert 'id="drift"' not in (tmp_path / "report" / "report.html").read_text("utf-8")

    def test_a_file_in_two_roles_is_wrong_use(self, tmp_path: Path) -> None:
        file = write(tmp_path / "a.jsonl", *records(1))
        assert run("check", file, "--frozen", file).exit_code == 2
