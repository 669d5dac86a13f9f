"""Reading labelled paragraphs, finding what repeats, and dividing them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.taxonomy import load_taxonomy
from policy_topics.errors import DataError
from train.check import check
from train.dataset import LabelledParagraph, as_dataset, read, scan
from train.duplicates import jaccard, near_duplicates, shingles
from train.split import Split, split

TAXONOMY = load_taxonomy()
SCHOOL = "县教育局本学年改造四所寄宿制小学的食堂，并为偏远教学点各配一名英语教师。"
ROAD = "环城公路东段年底贯通，货车绕行线同步启用，过境车辆不再穿城。"


def write(file: Path, *records: Any) -> Path:
    """JSON lines of objects; a string or bytes stands for a line as it is."""
    lines = [
        record if isinstance(record, bytes)
        else (record if isinstance(record, str) else json.dumps(record, ensure_ascii=False)).encode()
        for record in records
    ]  # fmt: skip
    file.write_bytes(b"\n".join(lines) + b"\n")
    return file


def row(text: str = SCHOOL, labels: list[Any] | None = None, **rest: Any) -> dict[str, Any]:
    return {"text": text, "labels": ["education"] if labels is None else labels, **rest}


def faults(file: Path) -> list[str]:
    return [str(fault).replace(str(file), file.name) for fault in scan([file], TAXONOMY).faults]


def paragraph(number: int, *labels: str, text: str = "", document: str | None = None) -> LabelledParagraph:
    # A character of its own for each number, so that no two texts are near-duplicates.
    return LabelledParagraph(str(number), text or f"{chr(0x4E00 + number)}" * 9, labels, document)


def divide(rows: Sequence[LabelledParagraph], seed: int = 1, dev: float = 0.2, test: float = 0.2) -> Split:
    return split(rows, dev_share=dev, test_share=test, similarity=0.8, seed=seed)


class TestReading:
    def test_a_paragraph_has_clean_text_and_its_labels_in_order(self, tmp_path: Path) -> None:
        text = "縣(xiàn)教育局改造四所小學,年底完工。"
        record = row(text, ["education", "urban"], id="p1", document="d", date="2021-03-05")
        (read_row,) = read([write(tmp_path / "a.jsonl", record)], TAXONOMY)
        assert read_row.text == "县教育局改造四所小学，年底完工。"
        assert read_row.labels == ("education", "urban")
        assert (read_row.id, read_row.document, read_row.date) == ("p1", "d", "2021-03-05")
        assert read_row.genre is read_row.source is None

    def test_the_line_is_kept_as_it_was_written(self, tmp_path: Path) -> None:
        line = '{"text":"縣政府  修路。", "level" : "county", "labels":["transport"]}'
        (read_row,) = read([write(tmp_path / "a.jsonl", line)], TAXONOMY)
        assert read_row.line.json == line

    def test_rows_come_in_the_order_of_files_and_lines(self, tmp_path: Path) -> None:
        second = write(tmp_path / "b.jsonl", row(id="3"))
        first = write(tmp_path / "a.jsonl", row(id="2"), row(id="1"))
        assert [r.id for r in read([second, first], TAXONOMY)] == ["3", "2", "1"]

    def test_byte_order_mark_windows_line_ends_and_blank_lines_are_tolerated(self, tmp_path: Path) -> None:
        line = json.dumps(row(ROAD, ["transport"])).encode()
        file = tmp_path / "a.jsonl"
        file.write_bytes(b"\xef\xbb\xbf" + line + b"\r\n\r\n" + line)
        assert [r.line.number for r in read([file], TAXONOMY)] == [1, 3]
        assert read([file], TAXONOMY)[0].line.json == line.decode()

    def test_a_paragraph_without_id_goes_by_file_and_line(self, tmp_path: Path) -> None:
        file = write(tmp_path / "a.jsonl", row(), row(id=""), row(id=None))
        assert [r.id for r in read([file], TAXONOMY)] == [f"{file}:1", f"{file}:2", f"{file}:3"]

    def test_numbers_are_taken_as_ids(self, tmp_path: Path) -> None:
        (read_row,) = read([write(tmp_path / "a.jsonl", row(id=7, document=12))], TAXONOMY)
        assert (read_row.id, read_row.document) == ("7", "12")

    def test_blank_documents_are_no_document(self, tmp_path: Path) -> None:
        (read_row,) = read([write(tmp_path / "a.jsonl", row(document=" "))], TAXONOMY)
        assert read_row.document is None

    def test_a_separator_inside_a_text_ends_no_line(self, tmp_path: Path) -> None:
        file = write(tmp_path / "a.jsonl", row("县里修路。\u2028乡里建桥。"), row())
        assert [r.line.number for r in read([file], TAXONOMY)] == [1, 2]

    def test_boilerplate_that_cleaning_drops_is_told(self, tmp_path: Path) -> None:
        file = write(tmp_path / "a.jsonl", row(f"{SCHOOL}\n责任编辑：小周"))
        reading = scan([file], TAXONOMY)
        assert reading.rows[0].text.strip() == SCHOOL
        assert [str(w) for w in reading.warnings] == [
            f'{file}:1: cleaning leaves out the boilerplate line "责任编辑：小周"'
        ]


class TestFaults:
    @pytest.mark.parametrize(
        ("line", "fault"),
        [
            ('{"text": "x"', "is not JSON: Expecting ',' delimiter at column 13; write one object"),
            ('{"labels": [], "labels": [], "text": "x"}', 'key "labels" stands twice'),
            ('["x"]', "is a list, not an object"),
            ("[" * 100_000, "is not JSON"),
            (b"\xff\xfe{}", "is not UTF-8 from byte 1 (0xff) on"),
            (b'{"text": "\xc4\xe3"}', "is not UTF-8 from byte 11 (0xc4) on"),
            (b'{"text": "a\0b", "labels": []}', "holds a NUL byte"),
            (r'{"text": "a\u0000b", "labels": []}', r'"text" holds \u0000'),
            (r'{"text": "a\ud800b", "labels": []}', r'"text" holds \ud800'),
            ({"labels": []}, '"text" is missing'),
            ({"text": None, "labels": []}, '"text" is missing'),
            ({"text": 5, "labels": []}, '"text" is a number'),
            ({"text": " \u3000", "labels": []}, '"text" is empty'),
            ({"text": "\u200b\ufeff", "labels": []}, "is left after cleaning"),
            ({"text": "打印本页 关闭窗口", "labels": []}, "is left after cleaning"),
            ({"text": "x"}, '"labels" is missing; write []'),
            ({"text": "x", "labels": None}, '"labels" is null; write a list'),
            ({"text": "x", "labels": "fiscal"}, '"labels" is text; write a list'),
            (row(labels=[3]), "label 3 is a number"),
            (row(labels=[["fiscal"]]), 'label ["fiscal"] is a list'),
            (row(labels=["finacne"]), 'label "finacne" is not in the taxonomy (version 1); did you mean "finance"?'),
            (row(labels=["zzzz"]), 'label "zzzz" is not in the taxonomy (version 1); its topic ids are in'),
            (row(labels=[""]), 'label "" is not in the taxonomy'),
            (row(labels=["Fiscal"]), 'label "Fiscal" differs from "fiscal" only in case, width or spaces'),
            (row(labels=[" fiscal"]), 'label " fiscal" differs from "fiscal" only in case, width or spaces'),
            (row(labels=["ｆｉｓｃａｌ"]), 'label "ｆｉｓｃａｌ" differs from "fiscal" only in case, width or spaces'),
            (row(labels=["Rule of Law"]), 'label "Rule of Law" differs from "rule_of_law" only'),
            (row(labels=["能源"]), 'label "能源" is the name of a topic, not its id; write "energy"'),
            (row(labels=["energy", "energy"]), 'label "energy" is repeated'),
            (row(labels=["energy", "fiscal", "urban", "health", "digital"]), "5 labels; keep the 4 topics"),
            (row(document=["d"]), '"document" is a list; write it as text'),
            (row(date=True), '"date" is true or false; write it as text'),
        ],
    )
    def test_each_fault_names_its_line_and_what_to_do(self, tmp_path: Path, line: Any, fault: str) -> None:
        (found,) = faults(write(tmp_path / "a.jsonl", row(id="good"), line))
        assert found.startswith("a.jsonl:2: ")
        assert fault in found

    def test_all_faults_of_all_files_are_told_at_once(self, tmp_path: Path) -> None:
        first = write(tmp_path / "a.jsonl", "nonsense", row(), {"text": "", "labels": ["x", "x"]})
        second = write(tmp_path / "b.jsonl", row(labels=["Energy"]))
        with pytest.raises(DataError) as error:
            read([first, second], TAXONOMY)
        places = [line.split(": ")[0].strip() for line in str(error.value).splitlines()[1:]]
        assert places == [f"{first}:1", f"{first}:3", f"{first}:3", f"{first}:3", f"{second}:1"]
        assert str(error.value).startswith("labelled data with 5 faults:")

    def test_a_long_list_of_faults_is_cut_and_counted(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="with 500 faults") as error:
            read([write(tmp_path / "a.jsonl", *["nonsense"] * 500)], TAXONOMY)
        assert str(error.value).endswith("… and 480 more")

    def test_good_rows_are_kept_beside_bad_ones(self, tmp_path: Path) -> None:
        file = write(tmp_path / "a.jsonl", row(id="1"), "nonsense", row(id="3"))
        assert [r.id for r in scan([file], TAXONOMY).rows] == ["1", "3"]

    def test_an_id_stands_once_in_all_files(self, tmp_path: Path) -> None:
        first = write(tmp_path / "a.jsonl", row(id="p"))
        second = write(tmp_path / "b.jsonl", row(), row(id="p"))
        (fault,) = scan([first, second], TAXONOMY).faults
        assert str(fault) == f'{second}:2: "id" "p" stands at {first}:1 already; give each paragraph its own'

    @pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf"])
    def test_an_empty_file_is_a_fault(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "a.jsonl").write_bytes(content)
        (fault,) = faults(tmp_path / "a.jsonl")
        assert fault.startswith("a.jsonl: is empty")

    def test_a_missing_file_is_a_fault(self, tmp_path: Path) -> None:
        assert faults(tmp_path / "none.jsonl") == ["none.jsonl: cannot be read: No such file or directory"]

    def test_utf16_is_named_once_and_not_line_by_line(self, tmp_path: Path) -> None:
        (tmp_path / "a.jsonl").write_bytes("{}\n{}\n{}\n".encode("utf-16"))
        assert faults(tmp_path / "a.jsonl") == ["a.jsonl: is UTF-16; save it as UTF-8"]

    def test_a_file_named_twice_is_a_fault(self, tmp_path: Path) -> None:
        file = write(tmp_path / "a.jsonl", row())
        (fault,) = scan([file, tmp_path / "." / "a.jsonl"], TAXONOMY).faults
        assert "is named twice" in str(fault)

    @settings(max_examples=200, deadline=None)
    @given(st.binary(max_size=60))
    def test_no_bytes_make_it_raise(self, tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
        file = tmp_path_factory.getbasetemp() / "any.jsonl"
        file.write_bytes(content)
        reading = scan([file], TAXONOMY)
        assert reading.faults or reading.rows


class TestTrainingData:
    def test_a_dataset_has_clean_text_and_a_target_for_each_topic(self) -> None:
        rows = [paragraph(1, "education", "fiscal", text=SCHOOL), paragraph(2, text=ROAD)]
        dataset = as_dataset(rows, TAXONOMY)
        assert dataset["text"][:] == [SCHOOL, ROAD]
        education, fiscal = TAXONOMY.ids.index("education"), TAXONOMY.ids.index("fiscal")
        assert dataset[0]["topics"] == [education, fiscal]
        assert {i for i, target in enumerate(dataset[0]["labels"]) if target} == {education, fiscal}
        assert dataset[1]["labels"] == [0.0] * len(TAXONOMY.ids)
        assert dataset.features["topics"].feature.names == list(TAXONOMY.ids)


class TestDuplicates:
    def test_a_copy_is_exact_and_a_changed_figure_is_near(self) -> None:
        text = "全市新开工保障性住房三千二百套，竣工二千八百套，发放租赁补贴一亿四千万元，惠及困难家庭六千一百户。"
        changed = text.replace("三千二百套", "三千三百套")
        pairs = near_duplicates([text, ROAD, changed, text], 0.7)
        assert [(p.first, p.second, p.exact) for p in pairs] == [(0, 2, False), (0, 3, True)]
        assert pairs[0].similarity == jaccard(shingles(text), shingles(changed)) < 1

    def test_similarity_below_the_wanted_one_is_no_duplicate(self) -> None:
        one, other = "甲乙丙丁戊己庚辛壬癸", "甲乙丙丁戊己庚辛子丑"  # 4 of 8 shingles in common
        assert jaccard(shingles(one), shingles(other)) == 0.5
        assert near_duplicates([one, other], 0.51) == []
        assert len(near_duplicates([one, other], 0.5)) == 1

    def test_short_texts_are_compared_whole(self) -> None:
        assert near_duplicates(["修路", "修桥", "修路"], 0.8)[0].second == 2
        assert len(near_duplicates(["修路", "修桥"], 0.1)) == 0

    def test_a_text_that_stands_many_times_gives_one_pair_a_copy(self) -> None:
        assert len(near_duplicates([SCHOOL] * 50, 0.8)) == 49

    def test_it_connects_what_comparing_all_pairs_connects(self) -> None:
        base = "省里下达乡村公路养护资金四亿二千万元，县道乡道一并纳入，村道由县统筹，养护结果同下年资金挂钩。"
        texts = [base[: i * 2] + "改" + base[i * 2 + 1 :] for i in range(20)] + [SCHOOL, ROAD]
        for similarity in (0.3, 0.6, 0.8, 0.95):
            expected = [
                {i, j}
                for i, j in combinations(range(len(texts)), 2)
                if jaccard(shingles(texts[i]), shingles(texts[j])) >= similarity
            ]
            found = [{p.first, p.second} for p in near_duplicates(texts, similarity)]
            assert all(pair in expected for pair in found)
            assert _components(found, len(texts)) == _components(expected, len(texts))


def _components(pairs: list[set[int]], n: int) -> list[list[int]]:
    groups = [{i} for i in range(n)]
    for pair in pairs:
        touched = [group for group in groups if group & pair]
        groups = [group for group in groups if not group & pair] + [set().union(*touched)]
    return sorted(sorted(group) for group in groups)


class TestSplitting:
    rows = tuple(paragraph(i, topic) for i, topic in enumerate(["energy", "fiscal", "urban", "health"] * 25))

    def test_every_row_is_in_exactly_one_part_and_order_is_kept(self) -> None:
        parts = divide(self.rows)
        numbers = [[int(r.id) for r in part] for part in parts]
        assert sorted(chain(*numbers)) == list(range(100))
        assert all(part == sorted(part) for part in numbers)

    def test_shares_hold_for_the_whole_and_for_each_topic(self) -> None:
        parts = divide(self.rows)
        assert [len(part) for part in parts] == [60, 20, 20]
        for part, expected in zip(parts, [15, 5, 5], strict=True):
            assert set(Counter(r.labels[0] for r in part).values()) == {expected}

    def test_the_seed_decides_and_nothing_else(self) -> None:
        assert divide(self.rows, seed=3) == divide(self.rows, seed=3)
        assert divide(self.rows, seed=3) != divide(self.rows, seed=4)

    def test_a_document_is_never_divided(self) -> None:
        rows = [paragraph(i, "energy", document=f"d{i % 7}") for i in range(70)]
        documents = [{r.document for r in part} for part in divide(rows)]
        assert all(not one & other for one, other in combinations(documents, 2))

    def test_near_duplicates_stay_together(self) -> None:
        rows = [paragraph(i, "energy") for i in range(20)]
        copies = [paragraph(20 + i, "energy", text=r.text) for i, r in enumerate(rows)]
        texts = [{r.text for r in part} for part in divide(rows + copies)]
        assert all(not one & other for one, other in combinations(texts, 2))

    def test_a_document_pulls_in_the_duplicates_of_its_paragraphs(self) -> None:
        linked = [
            paragraph(1, "energy", text=SCHOOL, document="a"),
            paragraph(2, "fiscal", text=ROAD, document="a"),
            paragraph(3, "urban", text=ROAD, document="b"),
            paragraph(4, "health", document="b"),
        ]
        parts = divide([*linked, *(paragraph(10 + i, "energy") for i in range(20))])
        assert [len(set("1234") & {r.id for r in part}) for part in parts].count(0) == 2

    def test_a_topic_with_three_groups_is_in_each_part(self) -> None:
        rare = [paragraph(200 + i, "defense", "energy") for i in range(3)]
        for seed in range(10):
            parts = divide([*self.rows, *rare], seed=seed, dev=0.1, test=0.15)
            assert [sum("defense" in r.labels for r in part) for part in parts] == [1, 1, 1]

    def test_paragraphs_without_topic_are_spread_too(self) -> None:
        rows = [*self.rows, *(paragraph(200 + i) for i in range(10))]
        assert [sum(not r.labels for r in part) for part in divide(rows)] == [6, 2, 2]

    def test_a_share_of_nothing_gets_nothing(self) -> None:
        parts = divide(self.rows, dev=0, test=0.2)
        assert [len(part) for part in parts] == [80, 0, 20]

    def test_no_rows_give_three_empty_parts(self) -> None:
        assert divide([]) == ([], [], [])

    def test_shares_that_leave_nothing_to_train_on_are_refused(self) -> None:
        with pytest.raises(DataError, match="leave nothing to train on"):
            divide(self.rows, dev=0.5, test=0.5)


class TestChecking:
    def test_topics_are_counted_by_file(self, tmp_path: Path) -> None:
        one = write(tmp_path / "a.jsonl", row(), row(ROAD, ["transport", "education"]))
        other = write(tmp_path / "b.jsonl", row("另一段讲学校的文字，说的是招生。"))
        report = check([one, other], TAXONOMY, 0.8)
        assert report.topics["education"] == (2, 1)
        assert report.topics["transport"] == (1, 0)
        assert report.rare_topics["education"] == 3

    def test_duplicates_with_other_labels_are_conflicts(self, tmp_path: Path) -> None:
        labels = [["education", "fiscal"], ["education", "fiscal"], ["fiscal", "education"], ["education"]]
        report = check([write(tmp_path / "a.jsonl", *(row(labels=one) for one in labels))], TAXONOMY, 0.8)
        assert [pair.second for pair in report.repeats] == [1, 2, 3]
        assert [pair.second for pair in report.conflicts] == [2, 3]

    def test_texts_and_documents_in_two_files_are_leaks(self, tmp_path: Path) -> None:
        one = write(tmp_path / "a.jsonl", row(), row(ROAD, document="d"))
        changed = row(SCHOOL.replace("四所", "五所"))
        other = write(tmp_path / "b.jsonl", row("第三段文字，讲的是另一件事情。", document="d"), changed)
        report = check([one, other], TAXONOMY, 0.6)
        assert [(pair.first, pair.second) for pair in report.shared_texts] == [(0, 3)]
        assert report.shared_documents == {"d": (one, other)}

    def test_what_repeats_inside_one_file_is_no_leak(self, tmp_path: Path) -> None:
        report = check([write(tmp_path / "a.jsonl", row(document="d"), row(document="d"))], TAXONOMY, 0.8)
        assert len(report.repeats) == 1
        assert not report.shared_texts and not report.shared_documents
