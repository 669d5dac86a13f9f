"""Labelled paragraphs from other programs' files: what is taken, merged and refused, and where."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from configs.taxonomy import load_taxonomy
from tests.files import array, imported, labels, lines, reasons, table

TAXONOMY = load_taxonomy()
SCHOOL = "县教育局本学年改造四所寄宿制小学的食堂，并为偏远教学点各配一名英语教师。"
ROAD = "省道改线工程昨日开工，沿线三个乡镇的客运班车临时改走旧路。"
CLINIC = "乡镇卫生院年底前全部配齐全科医生，夜间急诊不再转送县城。"


def task(text: str, *annotators: list[str] | None, **rest: Any) -> dict[str, Any]:
    """A task as Label Studio exports it; None: the annotator skipped it."""
    annotations = [
        {
            "was_cancelled": choices is None,
            "result": [{"type": "choices", "from_name": "topic", "value": {"choices": choices}}] if choices else [],
        }
        for choices in annotators
    ]
    return {"id": 7, "data": {"text": text}, "annotations": annotations, "predictions": [], **rest}


class TestTopicNames:
    @pytest.mark.parametrize(
        "written", ["education", " Education ", "ｅｄｕｃａｔｉｏｎ", "EDUCATION", "教育", TAXONOMY["education"].en]
    )
    def test_ids_and_names_are_read_in_any_case_and_width(self, tmp_path: Path, written: str) -> None:
        result = imported(table(tmp_path / "a.csv", ["text", "labels"], [SCHOOL, written]))
        assert labels(result) == [["education"]]

    def test_what_was_no_id_is_noted_with_what_it_was_read_as(self, tmp_path: Path) -> None:
        file = table(tmp_path / "a.csv", ["text", "labels"], [SCHOOL, "教育"], [ROAD, "Transport"], [CLINIC, "health"])
        spelt = {each.written: (each.topic, each.times) for each in imported(file).report.spellings}
        assert spelt == {"教育": ("education", 1), "Transport": ("transport", 1)}

    def test_an_unknown_topic_refuses_the_row_and_names_the_nearest(self, tmp_path: Path) -> None:
        result = imported(table(tmp_path / "a.csv", ["text", "labels"], [SCHOOL, "educaton"], [ROAD, "transport"]))
        assert labels(result) == [["transport"]]
        assert reasons(result) == {"a.csv:2": 'label "educaton" is no topic; the nearest is "education" (教育)'}

    @pytest.mark.parametrize(
        "cell", ["教育;能源", "education, energy", "教育、能源", "['education', 'energy']", "教育|能源"]
    )
    def test_a_cell_may_hold_several(self, tmp_path: Path, cell: str) -> None:
        assert labels(imported(table(tmp_path / "a.csv", ["text", "labels"], [SCHOOL, cell]))) == [
            ["education", "energy"]
        ]

    @pytest.mark.parametrize("field", ["zh", "en"])
    def test_names_that_hold_commas_themselves_are_read_among_others(self, tmp_path: Path, field: str) -> None:
        name, other = getattr(TAXONOMY["united_front"], field), getattr(TAXONOMY["energy"], field)
        cell = ("、" if field == "zh" else ", ").join([other, name, other])
        result = imported(table(tmp_path / "a.csv", ["text", "labels"], [SCHOOL, cell]))
        assert labels(result) == [["energy", "united_front"]]

    def test_the_separator_can_be_said(self, tmp_path: Path) -> None:
        file = table(tmp_path / "a.csv", ["text", "labels"], [SCHOOL, "education + energy"])
        assert labels(imported(file, separator="+")) == [["education", "energy"]]
        assert imported(file).rows == ()

    @pytest.mark.parametrize(
        ("cell", "mark"), [("教育/医疗卫生", "/"), ("education + energy", "+"), ("教育 能源", " ")]
    )
    def test_an_unusual_separator_is_named(self, tmp_path: Path, cell: str, mark: str) -> None:
        file = table(tmp_path / "a.csv", ["text", "labels"], [SCHOOL, cell])
        assert f'--separator "{mark}"' in reasons(imported(file))["a.csv:2"]

    def test_an_empty_cell_is_refused_and_a_word_says_none(self, tmp_path: Path) -> None:
        result = imported(table(tmp_path / "a.csv", ["text", "labels"], [SCHOOL, ""], [ROAD, "无"]))
        assert labels(result) == [[]]
        assert "no label" in reasons(result)["a.csv:2"]

    @pytest.mark.parametrize("word", ["无", "无主题", "none", "No topic"])
    def test_the_word_says_none_alone_in_a_list_too(self, tmp_path: Path, word: str) -> None:
        alone, among_others = {"text": SCHOOL, "labels": [word]}, {"text": ROAD, "labels": [word, "教育"]}
        result = imported(lines(tmp_path / "a.jsonl", alone, among_others))
        assert labels(result) == [[]]
        assert f'"{word}" is no topic' in reasons(result)["a.jsonl:2"]

    def test_half_of_a_surrogate_pair_is_no_topic(self, tmp_path: Path) -> None:
        (tmp_path / "a.jsonl").write_text(json.dumps({"text": SCHOOL, "labels": ["\ud83d"]}), "utf-8")
        assert reasons(imported(tmp_path / "a.jsonl"))["a.jsonl:1"].startswith('label "?" is no topic')


class TestTools:
    def test_label_studio_choices_carry_over_with_the_tasks_data(self, tmp_path: Path) -> None:
        one = task(SCHOOL, ["教育"], data={"text": SCHOOL, "document": "d1"})
        result = imported(array(tmp_path / "ls.json", one))
        assert result.rows == ({"text": SCHOOL, "labels": ["education"], "id": "ls-7", "document": "d1"},)
        assert result.report.sources[0].format == "JSON (Label Studio)"

    @pytest.mark.parametrize(
        ("annotators", "kept"),
        [
            ([["教育"], ["教育"]], ["education"]),
            ([["教育"], ["能源", "教育"]], ["education", "energy"]),
            ([["教育"], ["能源"], ["教育", "能源"]], ["education", "energy"]),
            ([["教育"], ["教育", "能源"], []], ["education"]),
            ([["教育"], None], ["education"]),
        ],
    )
    def test_topics_that_half_of_the_annotators_gave_are_kept(
        self, tmp_path: Path, annotators: list[list[str] | None], kept: list[str]
    ) -> None:
        result = imported(array(tmp_path / "ls.json", task(SCHOOL, *annotators)))
        assert labels(result) == [kept]
        differ = len({str(sorted(each)) for each in annotators if each is not None}) > 1
        assert any("annotators differ" in note for note in result.report.taken[0].notes) == differ

    def test_tasks_that_nobody_labelled_are_refused(self, tmp_path: Path) -> None:
        file = array(
            tmp_path / "ls.json", task(SCHOOL), task(ROAD, None), task(CLINIC, [], ["医疗卫生"]), task("一", ["教育"])
        )
        result = imported(file)
        assert labels(result) == [["health"], ["education"]]
        assert "nobody" in reasons(result)["ls.json#1"] and "skipped" in reasons(result)["ls.json#2"]

    def test_a_choice_of_none_is_no_topic_in_every_tool(self, tmp_path: Path) -> None:
        argilla = {"fields": {"text": CLINIC}, "responses": {"topic": [{"value": ["none"], "user_id": "u"}]}}
        result = imported(
            array(tmp_path / "ls.json", task(SCHOOL, ["无"])),
            lines(tmp_path / "dc.jsonl", {"id": 1, "text": ROAD, "label": ["无主题"]}),
            array(tmp_path / "ar.json", argilla),
        )
        assert labels(result) == [[], [], []]
        assert not any(each.notes for each in result.report.taken)

    def test_a_task_submitted_without_a_choice_is_taken_with_a_warning(self, tmp_path: Path) -> None:
        file = array(tmp_path / "ls.json", task(SCHOOL, []), task(ROAD, [], []), task(CLINIC, ["医疗卫生"]))
        result = imported(file)
        assert labels(result) == [[], [], ["health"]]
        assert ["without a choice" in "".join(each.notes) for each in result.report.taken] == [True, True, False]

    @pytest.mark.parametrize("kind", ["textarea", "rating", "number", "datetime"])
    def test_what_label_studio_asks_beside_the_choices_is_left_out_with_a_note(self, tmp_path: Path, kind: str) -> None:
        one = task(SCHOOL, ["教育"])
        one["annotations"][0]["result"].append({"type": kind, "from_name": "remark", "value": {}})
        result = imported(array(tmp_path / "ls.json", one))
        assert labels(result) == [["education"]]
        assert result.report.taken[0].notes == (f"left out beside the choices: {kind}",)

    @pytest.mark.parametrize("kind", ["labels", "rectanglelabels", "taxonomy"])
    def test_marks_that_may_hold_the_topics_are_refused(self, tmp_path: Path, kind: str) -> None:
        one = task(SCHOOL, ["教育"])
        one["annotations"][0]["result"].append({"type": kind, "from_name": "topic", "value": {}})
        assert repr(kind) in reasons(imported(array(tmp_path / "ls.json", one)))["ls.json#1"]

    def test_doccano_lines_of_both_forms(self, tmp_path: Path) -> None:
        new = {"id": 1, "text": SCHOOL, "label": ["教育"], "Comments": []}
        old = {"id": 2, "data": ROAD, "label": ["transport", "energy"]}
        spans = {"id": 3, "text": CLINIC, "label": [[0, 2, "health"]]}
        result = imported(lines(tmp_path / "dc.jsonl", new, old, spans))
        assert [(row["id"], row["labels"]) for row in result.rows] == [
            ("dc-1", ["education"]),
            ("dc-2", ["transport", "energy"]),
        ]
        assert "pieces of the text" in reasons(result)["dc.jsonl:3"]

    def test_a_doccano_paragraph_without_a_label_is_taken_with_a_warning(self, tmp_path: Path) -> None:
        result = imported(lines(tmp_path / "dc.jsonl", {"id": 1, "text": SCHOOL, "label": []}))
        assert labels(result) == [[]]
        assert "nobody has looked at" in result.report.taken[0].notes[0]

    def test_argilla_records_of_both_versions(self, tmp_path: Path) -> None:
        newer = {
            "id": "a", "fields": {"text": SCHOOL}, "metadata": {"document": "d1"}, "suggestions": {},
            "responses": {"topic": [{"value": ["education"], "user_id": user} for user in "uv"]},
        }  # fmt: skip
        older = {
            "id": "b", "fields": {"text": ROAD}, "suggestions": [],
            "responses": [
                {"user_id": "u", "status": "submitted", "values": {"topic": {"value": "transport"}}},
                {"user_id": "v", "status": "discarded", "values": {}},
            ],
        }  # fmt: skip
        unsure = {
            "id": "c",
            "fields": {"text": CLINIC},
            "responses": {},
            "suggestions": {"topic": {"value": ["health"]}},
        }
        result = imported(array(tmp_path / "ar.json", newer, older, unsure))
        assert result.rows[0] == {"text": SCHOOL, "labels": ["education"], "id": "ar-a", "document": "d1"}
        assert labels(result) == [["education"], ["transport"]]
        assert result.report.taken[1].notes == ("1 of 2 responses are drafts or discarded",)
        assert reasons(result) == {"ar.json#3": "has only suggestions; confirm them first"}


class TestRepeats:
    def test_the_same_text_with_the_same_topics_is_merged(self, tmp_path: Path) -> None:
        one = lines(tmp_path / "a.jsonl", {"text": SCHOOL, "labels": ["education", "energy"]})
        other = lines(tmp_path / "b.jsonl", {"text": f" {SCHOOL} ", "labels": ["energy", "education"]})
        result = imported(one, other)
        assert labels(result) == [["education", "energy"]]
        (merged,) = result.report.merged
        assert (merged.place, merged.into) == (f"{other}:1", f"{one}:1")
        assert "another order" in merged.notes[0]

    def test_the_same_text_with_other_topics_is_refused_everywhere(self, tmp_path: Path) -> None:
        file = lines(
            tmp_path / "a.jsonl",
            {"text": SCHOOL, "labels": ["education"]},
            {"text": ROAD, "labels": ["transport"]},
            {"text": SCHOOL, "labels": ["welfare"]},
        )
        result = imported(file)
        assert labels(result) == [["transport"]]
        assert f"[education] here, [welfare] at {file}:3" in reasons(result)["a.jsonl:1"]
        assert f"[education] at {file}:1" in reasons(result)["a.jsonl:3"]

    def test_an_id_that_stands_already_gets_a_number(self, tmp_path: Path) -> None:
        file = lines(tmp_path / "a.jsonl", *({"id": "x", "text": text, "labels": []} for text in (SCHOOL, ROAD)))
        result = imported(file)
        assert [row["id"] for row in result.rows] == ["x", "x-2"]
        assert "x is another paragraph's already" in result.report.taken[1].notes[0]


class TestWhatTrainingWouldRefuse:
    def test_it_is_refused_at_its_place(self, tmp_path: Path) -> None:
        five = list(TAXONOMY.ids[:5])
        file = lines(
            tmp_path / "a.jsonl",
            {"text": SCHOOL, "labels": five},
            {"text": "", "labels": []},
            {"labels": []},
            [],
            {"text": 3, "labels": []},
        )
        with file.open("a", encoding="utf-8") as out:
            out.write('{"text": "一"\n')
        said = reasons(imported(file))
        assert "5 labels" in said["a.jsonl:1"] and "is empty" in said["a.jsonl:2"] and "missing" in said["a.jsonl:3"]
        assert "no object" in said["a.jsonl:4"] and "is a number" in said["a.jsonl:5"] and "JSON" in said["a.jsonl:6"]

    def test_characters_that_decoding_lost_are_not_trained_on(self, tmp_path: Path) -> None:
        file = tmp_path / "a.jsonl"
        good = json.dumps({"text": ROAD, "labels": []}, ensure_ascii=False).encode()
        bad = (
            json.dumps({"text": SCHOOL, "labels": []}, ensure_ascii=False).encode().replace("县".encode(), b"\xe5\x8e")
        )
        file.write_bytes(good + b"\n" + bad + b"\n")
        result = imported(file)
        assert len(result.rows) == 1
        assert "holds bytes that are no utf-8" in reasons(result)["a.jsonl:2"]
