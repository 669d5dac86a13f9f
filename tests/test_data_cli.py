"""`policy-topics data check` and `data split`, as a user runs them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.data import app
from configs.settings import Settings, load_settings

SCHOOL = "县教育局本学年改造四所寄宿制小学的食堂，并为偏远教学点各配一名英语教师。"


def run(*arguments: str | Path, settings: Settings | None = None) -> Result:
    no_terminal = {"FORCE_COLOR": "", "TTY_COMPATIBLE": "0"}
    return CliRunner(env=no_terminal).invoke(
        app, [str(argument) for argument in arguments], obj=settings or load_settings()
    )


def write(file: Path, *records: Any) -> Path:
    file.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), "utf-8")
    return file


def row(number: int = 0, *labels: str, **rest: Any) -> dict[str, Any]:
    return {"text": chr(0x4E00 + number) * 9, "labels": labels, **rest}


def finding(output: str, name: str) -> int:
    found = re.search(rf"^- .*{name}.*: (\d+)$", output, re.MULTILINE)
    assert found, output
    return int(found[1])


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    topics = ["energy", "fiscal", "urban", "health"] * 10
    rows = (row(i, topic, id=f"p{i}", level="县") for i, topic in enumerate(topics))
    return write(tmp_path / "labelled.jsonl", *rows)


class TestCheck:
    def test_good_data_gives_tables_and_exit_code_0(self, labelled: Path) -> None:
        result = run("check", labelled)
        assert result.exit_code == 0
        assert re.search(r"\| labelled +\| +40 \| +0 \| +40 \|", result.stdout)
        assert re.search(r"\| energy +\| 能源 +\| +10 \| +10 \|", result.stdout)
        assert finding(result.stdout, "Faults") == 0

    def test_output_that_is_no_terminal_has_no_escape_codes(self, labelled: Path) -> None:
        assert "\x1b" not in run("check", labelled).stdout

    def test_rows_that_cannot_be_read_are_named_with_exit_code_1(self, tmp_path: Path) -> None:
        file = write(tmp_path / "a.jsonl", row(1, "energy"), row(2, "enegry"), [])
        result = run("check", file)
        assert result.exit_code == 1
        assert f'{file}:2: label "enegry" is not in the taxonomy (version 1); did you mean "energy"?' in result.stdout
        assert f"{file}:3: is a list, not an object" in result.stdout
        assert finding(result.stdout, "Faults") == 2

    def test_brackets_in_a_fault_are_printed_as_they_are(self, tmp_path: Path) -> None:
        assert 'label "[red]" is not' in run("check", write(tmp_path / "a.jsonl", row(1, "[red]"))).stdout

    def test_many_faults_are_cut_and_counted(self, tmp_path: Path) -> None:
        result = run("check", write(tmp_path / "a.jsonl", *[[]] * 100))
        assert result.stdout.count("is a list") == 20
        assert "另有 and 80 more" in result.stdout

    def test_leaks_between_files_are_named(self, tmp_path: Path) -> None:
        text = {"text": SCHOOL, "labels": ["education"]}
        one = write(tmp_path / "train.jsonl", text, row(1, "energy", document="d1"))
        other = write(tmp_path / "test.jsonl", row(2, "energy", document="d1"), text)
        result = run("check", one, other)
        assert result.exit_code == 0
        assert finding(result.stdout, "Texts in two files") == 1
        assert f"{one}:1 ≈ {other}:2 (1.00)" in result.stdout
        assert finding(result.stdout, "Documents in two files") == 1
        assert f"d1: {one}, {other}" in result.stdout

    def test_conflicting_labels_are_shown_side_by_side(self, tmp_path: Path) -> None:
        file = write(tmp_path / "a.jsonl", row(1, "energy", "fiscal"), row(1, "urban"))
        result = run("check", file)
        assert f"{file}:1 ≈ {file}:2 (1.00): [energy, fiscal] / [urban]" in result.stdout

    def test_the_settings_of_the_command_line_decide_what_is_near(self, tmp_path: Path) -> None:
        one, other = ({"text": SCHOOL.replace("四", number), "labels": []} for number in "四五")
        file = write(tmp_path / "a.jsonl", one, other)
        loose, strict = (load_settings(flags={"data.duplicate_similarity": s}) for s in (0.5, 0.95))
        assert finding(run("check", file, settings=loose).stdout, "Near-duplicates") == 1
        assert finding(run("check", file, settings=strict).stdout, "Near-duplicates") == 0

    def test_files_of_one_name_are_told_apart(self, tmp_path: Path) -> None:
        files: list[Path] = []
        for folder in ("one", "two"):
            (tmp_path / folder).mkdir()
            files.append(write(tmp_path / folder / "a.jsonl", row(len(files), "energy")))
        result = run("check", *files)
        assert all(f"| {file} " in result.stdout for file in files)

    @pytest.mark.parametrize("arguments", [["check"], ["check", "none.jsonl"], ["check", "."]])
    def test_wrong_use_has_exit_code_2(self, arguments: list[str]) -> None:
        assert run(*arguments).exit_code == 2

    def test_a_file_named_twice_is_wrong_use(self, labelled: Path) -> None:
        assert run("check", labelled, labelled).exit_code == 2


class TestSplit:
    def test_it_writes_three_files_with_every_line_as_it_was(self, labelled: Path, tmp_path: Path) -> None:
        result = run("split", labelled, "--out", tmp_path / "new" / "out")
        assert result.exit_code == 0
        parts = [(tmp_path / "new" / "out" / f"{part}.jsonl").read_text("utf-8") for part in ("train", "dev", "test")]
        assert all(parts)
        assert sorted("".join(parts).splitlines()) == sorted(labelled.read_text("utf-8").splitlines())
        assert sorted(file.name for file in (tmp_path / "new" / "out").iterdir()) == [
            "dev.jsonl", "test.jsonl", "train.jsonl",
        ]  # fmt: skip

    def test_the_same_input_gives_the_same_files(self, labelled: Path, tmp_path: Path) -> None:
        for out in ("a", "b"):
            run("split", labelled, "--out", tmp_path / out)
        assert (tmp_path / "a" / "test.jsonl").read_bytes() == (tmp_path / "b" / "test.jsonl").read_bytes()

    def test_what_it_writes_passes_the_check_without_a_leak(self, labelled: Path, tmp_path: Path) -> None:
        run("split", labelled, "--out", tmp_path)
        result = run("check", *(tmp_path / f"{part}.jsonl" for part in ("train", "dev", "test")))
        assert result.exit_code == 0
        assert finding(result.stdout, "Texts in two files") == 0

    def test_topics_missing_from_a_part_are_told(self, tmp_path: Path) -> None:
        result = run("split", write(tmp_path / "a.jsonl", row(1, "energy")), "--out", tmp_path / "out")
        dev = result.stdout.split("dev.jsonl: 0")[1].split("test.jsonl")[0]
        assert "without these topics" in dev and "energy" in dev

    def test_it_overwrites_only_when_forced(self, labelled: Path, tmp_path: Path) -> None:
        kept = tmp_path / "dev.jsonl"
        kept.write_text("mine", "utf-8")
        refused = run("split", labelled, "--out", tmp_path)
        assert refused.exit_code == 2
        assert "--force" in refused.stderr
        assert kept.read_text("utf-8") == "mine"
        assert not (tmp_path / "train.jsonl").exists()
        assert run("split", labelled, "--out", tmp_path, "--force").exit_code == 0
        assert kept.read_text("utf-8") != "mine"

    def test_faults_stop_it_before_anything_is_written(self, tmp_path: Path) -> None:
        file = write(tmp_path / "a.jsonl", row(1, "energy"), row(2, "enegry"))
        result = run("split", file, "--out", tmp_path / "out")
        assert result.exit_code == 1
        assert f"{file}:2: " in result.stderr
        assert not (tmp_path / "out").exists()

    def test_shares_that_leave_no_training_data_are_wrong_use(self, labelled: Path, tmp_path: Path) -> None:
        greedy = load_settings(flags={"data.dev_share": 0.5, "data.test_share": 0.5})
        result = run("split", labelled, "--out", tmp_path / "out", settings=greedy)
        assert result.exit_code == 2
        assert "data.dev_share" in result.stderr
        assert not (tmp_path / "out").exists()

    def test_out_must_be_named(self, labelled: Path) -> None:
        assert run("split", labelled).exit_code == 2
