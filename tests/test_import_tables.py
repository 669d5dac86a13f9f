"""Tables and JSON of labelled paragraphs: which rows and columns are read, and what is said of those that cannot be."""

from __future__ import annotations

import json
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow
import pyarrow.parquet
import pytest

from tests.files import imported, labels, lines, reasons, table, workbook

SCHOOL = "县教育局本学年改造四所寄宿制小学的食堂，并为偏远教学点各配一名英语教师。"
ROAD = "省道改线工程昨日开工，沿线三个乡镇的客运班车临时改走旧路。"
CLINIC = "乡镇卫生院年底前全部配齐全科医生，夜间急诊不再转送县城。"


class TestTables:
    def test_csv_in_gb18030_with_semicolons_and_chinese_columns(self, tmp_path: Path) -> None:
        file = table(
            tmp_path / "a.csv", ["正文", "主题", "日期", "备注"], [SCHOOL, "教育", "2024-05-06", "x"],
            encoding="gb18030", delimiter=";",
        )  # fmt: skip
        result = imported(file)
        assert result.rows == ({"text": SCHOOL, "labels": ["education"], "date": "2024-05-06"},)
        (source,) = result.report.sources
        assert (source.format, source.encoding, source.columns_left_out) == ("CSV (;)", "gb18030", ("备注",))

    def test_a_place_is_the_line_that_a_row_begins_on(self, tmp_path: Path) -> None:
        file = table(
            tmp_path / "a.csv", ["text", "labels"], [f"{SCHOOL}\n{ROAD}", "education"], ["", ""], [CLINIC, "x"]
        )
        result = imported(file)
        assert [each.place for each in result.report.taken] == [f"{file}:2"]
        assert list(reasons(result)) == ["a.csv:5"]

    def test_a_text_with_an_unquoted_delimiter_is_refused(self, tmp_path: Path) -> None:
        file = tmp_path / "a.csv"
        file.write_text(f"text,labels\n{SCHOOL},education\n一,二,education\n", "utf-8")
        assert "in quotes" in reasons(imported(file))["a.csv:3"]

    def test_a_quotation_mark_that_is_never_closed_is_refused(self, tmp_path: Path) -> None:
        file = tmp_path / "a.csv"
        file.write_text(f'text,labels\n{SCHOOL},education\n"{ROAD},transport\n{CLINIC},health\n', "utf-8")
        result = imported(file)
        assert labels(result) == [["education"]]
        assert "quotation marks" in reasons(result)["a.csv:3"]

    def test_columns_can_be_named(self, tmp_path: Path) -> None:
        file = table(tmp_path / "a.csv", ["t", "y"], [SCHOOL, "education"])
        assert "has no column for text (there are: t, y)" in reasons(imported(file))["a.csv"]
        assert labels(imported(file, mapping={"text": "t", "labels": "y"})) == [["education"]]
        assert "has no column for text" in reasons(imported(file, mapping={"text": "正文", "labels": "y"}))["a.csv"]

    def test_excel_has_its_sheets_and_row_numbers(self, tmp_path: Path) -> None:
        file = workbook(
            tmp_path / "a.xlsx",
            一=[
                ["编号", "内容", "标签", "日期"],
                [1.0, SCHOOL, "教育", datetime(2024, 5, 6)],
                [],
                [2.0, ROAD, None, None],
            ],
            二=[["text", "labels"], [CLINIC, "health"]],
            说明=[["作者"], ["某某"]],
        )
        result = imported(file)
        assert result.rows[0] == {"text": SCHOOL, "labels": ["education"], "id": "1", "date": "2024-05-06"}
        assert [Path(each.place).name for each in result.report.taken] == ["a.xlsx[一]:2", "a.xlsx[二]:2"]
        assert list(reasons(result)) == ["a.xlsx[一]:4"]
        assert len(result.report.notes) == 1 and "a.xlsx[说明]: left out with its 1 rows" in result.report.notes[0]

    def test_parquet_with_lists_of_labels(self, tmp_path: Path) -> None:
        columns = {"text": [SCHOOL, ROAD], "topics": [["education", "energy"], ["x"]]}
        pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
        result = imported(tmp_path / "a.parquet")
        assert labels(result) == [["education", "energy"]]
        assert list(reasons(result)) == ["a.parquet#2"]

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", "is empty"),
            (b"PAR1 and nothing else", "cannot be read as Parquet"),
            (b"PK\x03\x04 no archive", "cannot be opened as an Excel workbook"),
            (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "without a password"),
            (bytes(range(256)) * 4, "is neither text nor Excel nor Parquet"),
            (b"[1, 2", "is broken JSON"),
            (b"text,text\na,b\n", "two columns named text"),
        ],
    )
    def test_files_that_cannot_be_read_say_why(self, tmp_path: Path, content: bytes, said: str) -> None:
        (tmp_path / "a.bin").write_bytes(content)
        result = imported(tmp_path / "a.bin", lines(tmp_path / "b.jsonl", {"text": SCHOOL, "labels": []}))
        assert said in reasons(result)["a.bin"]
        assert len(result.rows) == 1

    @pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
    def test_every_cell_may_be_quoted_the_header_too(self, tmp_path: Path, delimiter: str) -> None:
        file = tmp_path / "a.csv"
        rows = [["text", "labels"], [SCHOOL, "education"], [ROAD, "transport"]]
        file.write_text("".join(delimiter.join(f'"{cell}"' for cell in row) + "\n" for row in rows), "utf-8")
        assert labels(imported(file)) == [["education"], ["transport"]]

    def test_excels_line_that_names_the_delimiter_is_no_header(self, tmp_path: Path) -> None:
        file = tmp_path / "a.csv"
        file.write_text(f"sep=^\ntext^labels\n{SCHOOL}^education\n{ROAD}^x\n", "utf-8-sig")
        result = imported(file)
        assert labels(result) == [["education"]]
        assert result.report.sources[0].format == "CSV (^)"
        assert list(reasons(result)) == ["a.csv:4"]

    def test_a_title_above_the_header_is_named_once(self, tmp_path: Path) -> None:
        file = table(tmp_path / "a.csv", ["标注数据"], ["text", "labels"], [SCHOOL, "education"])
        said = reasons(imported(file))
        assert list(said) == ["a.csv"]
        assert '"标注数据"' in said["a.csv"] and "delete the rows above" in said["a.csv"]

    def test_a_file_of_delimiters_alone_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text(",,\n,,\n", "utf-8")
        assert "has no column for text" in reasons(imported(tmp_path / "a.csv"))["a.csv"]


class TestExcel:
    def changed(self, file: Path, **cells: Any) -> None:
        """A workbook with a merged range for each name of two cells (A2_A4), and values for those of one."""
        book = openpyxl.load_workbook(file)
        for name, value in cells.items():
            if "_" in name:
                book.worksheets[0].merge_cells(name.replace("_", ":"))
            else:
                book.worksheets[0][name] = value
        book.save(file)

    def test_cells_merged_over_rows_count_for_each_of_them(self, tmp_path: Path) -> None:
        rows = [["document", "text", "labels"], ["d1", SCHOOL, "教育"], [None, ROAD, "能源"], [None, CLINIC]]
        file = workbook(tmp_path / "a.xlsx", 一=rows)
        self.changed(file, A2_A9=None, C3_C4=None)
        result = imported(file)
        assert [row["document"] for row in result.rows] == ["d1", "d1", "d1"]
        assert labels(result) == [["education"], ["energy"], ["energy"]]
        assert result.report.sources[0].records == 3

    def test_a_header_merged_over_rows_makes_no_texts_of_itself(self, tmp_path: Path) -> None:
        rows = [["text", "labels"], [None, "first"], [SCHOOL, "education"]]
        file = workbook(tmp_path / "a.xlsx", 一=rows)
        self.changed(file, A1_A2=None)
        result = imported(file)
        assert [row["text"] for row in result.rows] == [SCHOOL]
        assert '"first" is no topic' in reasons(result)["a.xlsx[一]:2"]

    def test_errors_in_what_is_used_are_refused_with_their_cell(self, tmp_path: Path) -> None:
        rows = [
            ["text", "labels", "checked"], ["#REF!", "education"], [ROAD, "#N/A"], [CLINIC, "health", "#N/A"],
        ]  # fmt: skip
        said = reasons(imported(workbook(tmp_path / "a.xlsx", 一=rows)))
        assert "text: cell A2 holds the error #REF!" in said["a.xlsx[一]:2"]
        assert "labels: cell B3 holds the error #N/A" in said["a.xlsx[一]:3"]
        assert len(said) == 2

    def test_formulas_that_nothing_has_calculated_are_named(self, tmp_path: Path) -> None:
        rows = [["text", "labels", "kind"], [SCHOOL, "=C2", "education"], [None, "education"]]
        file = workbook(tmp_path / "a.xlsx", 一=rows)
        said = reasons(imported(file))
        assert "formula in cell B2 was never calculated; open and save it in Excel" in said["a.xlsx[一]:2"]
        assert "formula" not in said["a.xlsx[一]:3"]

    def test_a_formula_that_came_to_an_empty_text_was_calculated(self, tmp_path: Path) -> None:
        file = workbook(tmp_path / "a.xlsx", 一=[["text", "labels", "note"], [SCHOOL, "education", '=""']])
        with zipfile.ZipFile(file) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        sheet = "xl/worksheets/sheet1.xml"
        parts[sheet] = parts[sheet].replace(b'<c r="C2"', b'<c r="C2" t="str"')
        with zipfile.ZipFile(file, "w") as archive:
            for name, part in parts.items():
                archive.writestr(name, part)
        assert labels(imported(file)) == [["education"]]

    def test_characters_that_excel_escapes_are_read(self, tmp_path: Path) -> None:
        rows = [["text", "labels"], [f"{SCHOOL}_x000D_\n{ROAD}", "education_x000D_\nenergy"]]
        result = imported(workbook(tmp_path / "a.xlsx", 一=rows))
        assert result.rows[0]["text"] == f"{SCHOOL}\r\n{ROAD}"
        assert labels(result) == [["education", "energy"]]

    def test_a_hidden_sheet_is_called_so(self, tmp_path: Path) -> None:
        rows = [["text", "labels"], [SCHOOL, "education"]]
        file = workbook(tmp_path / "a.xlsx", 一=rows, 二=[rows[0], [ROAD, "transport"]])
        book = openpyxl.load_workbook(file)
        book["二"].sheet_state = "hidden"
        book.save(file)
        assert [source.format for source in imported(file).report.sources] == ["Excel", "Excel, hidden sheet"]

    def test_a_sheet_without_a_header_leaves_the_others_be(self, tmp_path: Path) -> None:
        rows = [["text", "labels"], [SCHOOL, "education"]]
        result = imported(workbook(tmp_path / "a.xlsx", 一=[["标注数据"], *rows], 二=rows))
        assert labels(result) == [["education"]]
        assert list(reasons(result)) == ["a.xlsx[一]:1"]
        assert "with its 2 rows" in reasons(result)["a.xlsx[一]:1"]
        assert "delete the rows above" in reasons(result)["a.xlsx[一]:1"]

    @pytest.mark.parametrize(
        ("part", "said"),
        [("content.xml", "save it as .xlsx"), ("xl/workbook.bin", "save it as .xlsx"), ("a", "unpack")],
    )
    def test_other_archives_say_what_to_do(self, tmp_path: Path, part: str, said: str) -> None:
        with zipfile.ZipFile(tmp_path / "a.bin", "w") as archive:
            archive.writestr(part, "")
        assert said in reasons(imported(tmp_path / "a.bin"))["a.bin"]


class TestJson:
    def test_one_object_over_several_lines_is_one_record(self, tmp_path: Path) -> None:
        file = tmp_path / "a.json"
        file.write_text(json.dumps({"text": SCHOOL, "labels": ["education"]}, indent=1), "utf-8")
        result = imported(file)
        assert labels(result) == [["education"]]
        assert result.report.taken[0].place == f"{file}:1"

    @pytest.mark.parametrize(
        "text", ['{\n "text": "一",\n "labels": [}\n', '{\n "text": "一"\n}\n{\n "text": "二"\n}\n']
    )
    def test_objects_over_several_lines_that_cannot_be_read_are_one_fault(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "a.json").write_text(text, "utf-8")
        said = reasons(imported(tmp_path / "a.json"))
        assert list(said) == ["a.json"]
        assert "write one object a line" in said["a.json"]
