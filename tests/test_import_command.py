"""`policy-topics data import`: what it writes, and when it writes nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from configs.taxonomy import load_taxonomy
from tests.files import lines, table
from train.dataset import read

TAXONOMY = load_taxonomy()
SCHOOL = "县教育局本学年改造四所寄宿制小学的食堂，并为偏远教学点各配一名英语教师。"
ROAD = "省道改线工程昨日开工，沿线三个乡镇的客运班车临时改走旧路。"


class TestCommand:
    def run(self, *arguments: str | Path) -> Result:
        return CliRunner().invoke(app, ["data", "import", *map(str, arguments)])

    def test_what_it_writes_is_what_training_reads(self, tmp_path: Path) -> None:
        file = table(tmp_path / "a.csv", ["text", "labels"], [SCHOOL, "教育"], [ROAD, "transport"])
        out = tmp_path / "new" / "a.jsonl"
        result = self.run(file, "--out", out)
        assert result.exit_code == 0
        assert [row.labels for row in read([out], TAXONOMY)] == [("education",), ("transport",)]

    def test_refused_rows_are_named_with_exit_code_1_and_the_others_written(self, tmp_path: Path) -> None:
        rows = [[f"{SCHOOL}{i}", "x"] for i in range(30)]
        file = table(tmp_path / "a.csv", ["text", "labels"], [ROAD, "transport"], *rows)
        result = self.run(file, "--out", tmp_path / "a.jsonl", "--report", tmp_path / "report.json")
        assert result.exit_code == 1
        assert all(f"{file}:{line}: " in result.stdout for line in range(3, 33))
        assert len(read([tmp_path / "a.jsonl"], TAXONOMY)) == 1
        report = json.loads((tmp_path / "report.json").read_text("utf-8"))
        assert (len(report["taken"]), len(report["refused"])) == (1, 30)

    def test_nothing_good_writes_nothing(self, tmp_path: Path) -> None:
        result = self.run(table(tmp_path / "a.csv", ["text", "labels"], [ROAD, "x"]), "--out", tmp_path / "a.jsonl")
        assert result.exit_code == 1
        assert not (tmp_path / "a.jsonl").exists()

    def test_a_header_without_rows_is_an_import_of_nothing(self, tmp_path: Path) -> None:
        result = self.run(table(tmp_path / "a.csv", ["text", "labels"]), "--out", tmp_path / "a.jsonl")
        assert result.exit_code == 1
        assert not (tmp_path / "a.jsonl").exists()

    def test_a_disk_that_fails_leaves_what_was_there(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        file, out = lines(tmp_path / "a.jsonl", {"text": ROAD, "labels": []}), tmp_path / "out.jsonl"
        out.write_text("mine", "utf-8")

        def full(*_: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "replace", full)
        result = self.run(file, "--out", out, "--force")
        assert "No space left on device" in str(result.exception)
        assert out.read_text("utf-8") == "mine"

    @pytest.mark.parametrize("more", [["--map", "txt=a"], ["--map", "text"], ["--map", "text=a", "--map", "text=b"]])
    def test_wrong_mappings_are_wrong_use(self, tmp_path: Path, more: list[str]) -> None:
        file = lines(tmp_path / "a.jsonl", {"text": ROAD, "labels": []})
        assert self.run(file, "--out", tmp_path / "b.jsonl", *more).exit_code == 2

    def test_it_overwrites_only_when_forced_and_never_what_it_reads(self, tmp_path: Path) -> None:
        file = lines(tmp_path / "a.jsonl", {"text": ROAD, "labels": []})
        other = lines(tmp_path / "b.jsonl", {"text": SCHOOL, "labels": []})
        assert self.run(file, "--out", other).exit_code == 2
        assert self.run(file, "--out", file, "--force").exit_code == 2
        assert self.run(file, "--out", other, "--force").exit_code == 0
