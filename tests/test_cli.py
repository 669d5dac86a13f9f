"""The command line as a user meets it: what is printed, and the exit code."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from pathlib import Path

import pytest

from cli.main import main
from configs.settings import HOME
from tests.test_documents import ARTICLE, pdf_file, web_page

REPORT = (
    "縣委常委會召開會議。 會議傳達學(xué)習(xí)了教育工作會議精神,要加快補(bǔ)齊學(xué)校短板。 "
    "會議研究部署了防汛工作,要嚴格值班。"
)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tiny_bundle: Path, capfd: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """Run the command line on the tiny bundle: exit code, standard output, standard error."""
    monkeypatch.setenv("POLICY_TOPICS_BUNDLE", str(tiny_bundle))

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["policy-topics", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        return int(ended.value.code or 0), out, err

    return call


def test_classify_json_prints_one_object_a_paragraph(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "report.txt"
    file.write_text(REPORT, "utf-8")
    code, out, _ = run("classify", str(file), "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [row["index"] for row in rows] == list(range(len(rows)))
    assert len(rows) == 3
    for row in rows:
        assert list(row) == ["document", "index", "start", "end", "text", "topics", "primary"]
        assert row["document"] == str(file)
        assert "(" not in row["text"]
        assert REPORT[row["start"]] == {"县": "縣", "会": "會"}[row["text"][0]]


def test_classify_prints_a_table(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "report.txt"
    file.write_text(REPORT, "utf-8")
    code, out, _ = run("classify", str(file))
    assert code == 0
    assert "会议研究部署了防汛工作" in re.sub(r"[\s│|]", "", out)


def test_a_file_in_gb18030_reads_the_same(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "report.txt"
    file.write_bytes("会议研究部署了防汛工作，要求各乡镇严格执行值班制度。".encode("gb18030"))
    _, out, _ = run("classify", str(file), "--json")
    assert json.loads(out)["text"] == "会议研究部署了防汛工作，要求各乡镇严格执行值班制度。"


def test_files_that_cannot_be_read_are_named_and_the_rest_is_done(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    good, picture = tmp_path / "good.txt", tmp_path / "picture.png"
    good.write_text("会议研究了教育工作。", "utf-8")
    picture.write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR")
    code, out, err = run("classify", str(picture), str(tmp_path / "none.txt"), str(good), "--json")
    assert code == 1
    assert json.loads(out)["document"] == str(good)
    assert "picture.png" in err
    assert "none.txt" in err
    assert "2 of 3" in err


@pytest.mark.parametrize(
    ("content", "paragraphs", "remark"),
    [
        (b"", 0, "no text to classify"),
        ("。。。！！——".encode(), 0, "no text to classify"),
        (b"\x00" * 500, 0, "not read"),
        ("会议研究了教育工作。".encode() + b"\xff\xfe", 1, "replaced"),
        ("😀会议研究了教育工作。".encode(), 1, ""),
        ("加快建设 5G networks，推进 AI 应用。".encode(), 1, ""),
        ("联系[email protected]反馈附件[/x]的问题。".encode(), 1, ""),
        ("会议研究了教育工作。\n【打印】【关闭】\n".encode(), 1, "left out as boilerplate: 【打印】【关闭】"),
    ],
)
@pytest.mark.parametrize("form", ["--json", None])
def test_every_kind_of_text_has_an_answer_and_nothing_is_left_out_in_silence(  # type: ignore[no-untyped-def]
    run, tmp_path: Path, content: bytes, paragraphs: int, remark: str, form: str | None
) -> None:
    file = tmp_path / "odd[b].txt"
    file.write_bytes(content)
    code, out, err = run("classify", str(file), *([form] if form else []))
    assert code == ("not read" in remark)
    assert remark in err
    if form:
        assert len(out.splitlines()) == paragraphs
    elif "email" in content.decode("utf-8", "replace"):
        assert "[email protected]" in out
        assert "[/x]" in out


def test_pages_and_lines_that_classify_leaves_out_are_told(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    scan, page = tmp_path / "half.pdf", tmp_path / "news.html"
    scan.write_bytes(pdf_file([["会议研究了教育工作。"], []]))
    page.write_bytes(web_page(ARTICLE))
    code, _, err = run("classify", str(scan), str(page))
    assert code == 0
    assert f"{scan}: no text on page(s) 2" in err
    assert f"{page}: 非正文，未判断 left out as boilerplate: 政务公开" in err


def test_classify_reads_standard_input(run, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("会议研究了教育工作。".encode())))
    code, out, _ = run("classify", "--json")
    assert code == 0
    assert json.loads(out)["document"] == "-"


def test_a_broken_bundle_is_one_clear_message_and_exit_code_2(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    code, _, err = run("--set", f"bundle={tmp_path}", "classify", "x.txt")
    assert code == 2
    assert "no model bundle here" in err
    assert "Traceback" not in err


def test_an_unknown_setting_is_named(run) -> None:  # type: ignore[no-untyped-def]
    code, _, err = run("--set", "serve.prot=1", "models", "show")
    assert code == 2
    assert "did you mean serve.port?" in err


def test_models_show_verifies_and_describes_the_bundle(run) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = run("models", "show")
    assert code == 0
    assert "tiny" in out
    assert "33 topics" in out


def test_evaluate_prints_a_table_and_writes_a_report(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    file, training = tmp_path / "rows.jsonl", tmp_path / "training.jsonl"
    lines = [
        f'{{"text": "推进高标准农田建设，守住{c}块耕地。", "labels": ["agriculture"]}}\n' for c in "甲乙丙丁戊己庚辛"
    ]
    file.write_text("".join(lines), "utf-8")
    training.write_text('{"text": "改善公路和公交。", "labels": ["transport"]}\n' + lines[0], "utf-8")
    code, out, err = run("evaluate", str(file), "--report", str(tmp_path / "report"), "--baseline-data", str(training))
    assert code == 0
    assert "macro-F1" in out
    assert str(tmp_path / "report" / "report.html") in out
    assert "1 paragraphs of --baseline-data" in err
    report = json.loads((tmp_path / "report" / "report.json").read_text("utf-8"))
    assert report["served"]["paragraphs"] == 8
    assert report["compared"][0]["trained_on"] == 1
    assert "agriculture" in (tmp_path / "report" / "report.html").read_text("utf-8")


def test_data_to_compare_with_wants_a_report(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "rows.jsonl"
    file.write_text('{"text": "推进高标准农田建设。", "labels": ["agriculture"]}\n', "utf-8")
    code, _, err = run("evaluate", str(file), "--baseline-data", str(file))
    assert code == 2
    assert "--report" in err


def test_evaluating_on_a_topic_that_the_bundle_does_not_know_names_the_line(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "rows.jsonl"
    file.write_text('{"text": "夜观天象。", "labels": ["astrology"]}\n', "utf-8")
    code, _, err = run("evaluate", str(file))
    assert code == 1
    assert "rows.jsonl:1" in err
    assert "astrology" in err


def test_every_command_of_the_readme_exists(run) -> None:  # type: ignore[no-untyped-def]
    readme = (HOME / "README.md").read_text("utf-8")
    commands = set(re.findall(r"policy-topics(?: --set \S+)* ([a-z]+)", readme))
    commands |= {row.split()[0] for row in re.findall(r"(?m)^\| `([^|]+?)`", _table_of_commands(readme))}
    assert {"classify", "train", "serve", "data", "evaluate", "models", "pretrain"} <= commands
    for command in commands:
        code, out, _ = run(command, "--help")
        assert code == 0, command
        assert "Usage" in out


@pytest.mark.parametrize(
    ("command", "missing", "fix"),
    [
        (("score", "in", "out", "--engine", "ray"), "ray", ".venv/bin/pip install -c constraints.txt -e '.[ray]'"),
        (("data", "suggest", "in", "--out", "new.jsonl"), "sklearn", "make setup-train"),
    ],
)
def test_a_missing_package_is_named_with_the_command_that_installs_it(  # type: ignore[no-untyped-def]
    run, command: tuple[str, ...], missing: str, fix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.extras.find_spec", lambda name: None if name == missing else True)
    code, _, err = run(*command)
    assert code == 2
    assert f"{missing} is not installed; in the folder of policy-topics: {fix}" in err


def _table_of_commands(readme: str) -> str:
    return readme.split("| command | does |")[1].split("\n\n")[0]


def test_no_library_sends_anything_anywhere(run, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    switches = (
        "BENTOML_DO_NOT_TRACK",
        "HF_HUB_DISABLE_TELEMETRY",
        "MLFLOW_DISABLE_TELEMETRY",
        "NNCF_CI",
        "RAY_USAGE_STATS_ENABLED",
    )
    for switch in switches:
        monkeypatch.delenv(switch, raising=False)
    run("models", "show")
    assert all(os.environ.get(switch) for switch in switches)
