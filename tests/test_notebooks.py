"""The notebooks run, in a copy of what they need and without a network, and the outputs that are kept are of a run."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest

from configs.settings import HOME
from notebooks.execute import FOLDER, executed

NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
SPLITS = ("train", "dev", "test")
MOST_BYTES = 200_000


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the data and the notebooks alone: all else comes from the installed packages."""
    shutil.copytree(HOME / "data", tmp_path / "data")
    (tmp_path / "notebooks").mkdir()
    for file in (*NOTEBOOKS, FOLDER / "plots.mplstyle"):
        shutil.copy(file, tmp_path / "notebooks")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(HOME))
    return tmp_path / "notebooks"


def figures(file: Path, expression: str) -> Any:
    """What a Python expression is worth at the end of a notebook."""
    (output,) = executed(file, expression).cells[-1]["outputs"]
    return ast.literal_eval(output["data"]["text/plain"])


def test_the_tour_of_the_data_counts_what_is_there(copy: Path) -> None:
    found = figures(
        copy / "1_data.ipynb",
        "dict(rows=len(rows), topics=len(topics), characters=int(rows['characters'].median()),"
        " agreement=float(agreement.min()), ordered=bool(((low <= agreement) & (agreement <= high)).all()),"
        " diagonal=bool((counts.diagonal() == topics['all']).all()), cleaned=cleaned.text)",
    )
    lines = sum(len((HOME / "data" / f"{split}.jsonl").read_text("utf-8").splitlines()) for split in SPLITS)
    assert found["rows"] == lines
    assert found["topics"] == 33
    assert 80 < found["characters"] < 200
    assert 0.7 < found["agreement"] < 1
    assert found["ordered"]
    assert found["diagonal"]
    assert found["cleaned"] == "会议强调，要抓好粮食生产，深入学习贯彻有关精神。"


@pytest.mark.timeout(900)
def test_the_training_ends_with_a_report_and_a_verdict(copy: Path) -> None:
    found = figures(
        copy / "2_training.ipynb",
        "dict(paragraphs=report.served.paragraphs, macro_f1=report.served.macro_f1, serving=serving.macro_f1,"
        " ece=report.served.ece, rules=[rule.name for rule in verdict.rules], incumbent=verdict.incumbent_name,"
        " page=(WORK / 'report' / 'report.html').stat().st_size, points=len(report.risk_coverage))",
    )
    assert found["paragraphs"] == 120
    assert found["serving"] > 0.5
    assert found["macro_f1"] > found["serving"] - 0.2
    assert found["ece"] < 0.05
    assert {"macro-F1", "ECE 校准误差", "time 耗时"} < set(found["rules"])
    assert found["incumbent"] == "default"
    assert found["page"] > 10_000
    assert found["points"] == 20


def test_the_archive_study_is_nearly_what_the_labels_say(copy: Path) -> None:
    found = figures(
        copy / "3_archive.ipynb",
        "dict(meetings=len(minutes), done=summary.inputs_done, lost=summary.inputs_in_quarantine,"
        " missing=int(minutes['given'].isna().sum()), check=check['micro-F1'].to_dict(), distance=distance,"
        " first=first['agriculture'], inside=bool(((low <= change) & (change <= high)).all()))",
    )
    assert found["meetings"] == found["done"] > 700
    assert found["lost"] == found["missing"] == 0
    assert found["check"]["test"] > 0.6
    assert found["check"]["train"] >= found["check"]["test"]
    assert found["distance"] < 3
    assert found["first"] == "pre1978"
    assert found["inside"]


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.name)
def test_what_is_kept_is_a_whole_run_in_order(file: Path) -> None:
    """`make notebooks` after a change: readers on a forge see the outputs and run nothing."""
    cells = [cell for cell in nbformat.read(file, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not [output for cell in cells for output in cell.outputs if output.output_type == "error"]
    assert sum("image" in key for cell in cells for output in cell.outputs for key in output.get("data", {})) >= 3


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.name)
def test_what_is_kept_is_small_and_names_no_place_of_a_machine(file: Path) -> None:
    content = file.read_text("utf-8")
    assert len(content.encode()) < MOST_BYTES
    assert not [place for place in (str(HOME), str(Path.home()), "/tmp/") if place in content]
