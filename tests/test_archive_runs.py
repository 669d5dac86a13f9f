"""`policy-topics score` as a user meets it: whole runs, kills, crashes, and what is told meanwhile."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from cli.main import main
from configs.settings import HOME, ArchiveSettings
from serve.archive import progress, ray_engine
from serve.archive.faults import Fault
from serve.archive.formats import Row
from serve.archive.inputs import Source
from serve.archive.ledger import Model
from serve.archive.output import ROWS, Output, remaining
from serve.archive.progress import RunProgress, Work
from serve.archive.reading import Finished, Skipped, SourceDone
from serve.archive.scoring import Result, Scored, Topics
from tests.archives import BROKEN, FARMS, GOOD, JSONL, LINES, RECORDS, zip_file

BROKEN_FAULT = Fault("damaged", "cut")


def call(bundle: Path, *arguments: object) -> int:
    """Run the command line in this process; its exit code."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("POLICY_TOPICS_REGISTRY", "null")
        patched.setattr(sys, "argv", ["policy-topics", "--set", f"bundle={bundle}", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
    return int(ended.value.code or 0)


def table(out: Path) -> list[tuple[object, ...]]:
    """Every row of an output, sorted."""
    columns = ("id", "document", "index", "text", "topics", "probabilities", "primary")
    return sorted(tuple(map(str, map(row.get, columns))) for row in pq.read_table(out / ROWS).to_pylist())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of files of every format, and of files broken in every way."""
    folder = tmp_path_factory.mktemp("archive") / "in"
    (folder / "2021-05").mkdir(parents=True)
    for name, make in GOOD.items():
        (folder / "2021-05" / name).write_bytes(make())
    for name, (make, _) in BROKEN.items():
        if "bomb" not in name:
            (folder / name).write_bytes(make())
    (folder / "packed.zip").write_bytes(zip_file({"a.txt": LINES.encode(), "../b.txt": LINES.encode()}))
    return folder


@pytest.fixture(scope="module")
def scored(folder: Path, tiny_bundle: Path) -> Path:
    """The output of a run over that folder. Tests read it; those that go on from it copy it."""
    out = folder.parent / "out"
    code = call(tiny_bundle, "--set", "archive.part_rows=10", "score", folder, out, "--also", "jsonl")
    assert code == 1
    return out


@pytest.fixture
def again(scored: Path, folder: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A copy of that folder and of its output."""
    shutil.copytree(folder, tmp_path / "in")
    shutil.copytree(scored, tmp_path / "out")
    return tmp_path / "in", tmp_path / "out"


def test_all_good_files_are_scored_and_all_broken_ones_named(scored: Path) -> None:
    documents = [str(row[1]) for row in table(scored)]
    assert sorted(set(documents)) == sorted([*(f"in/2021-05/{name}" for name in GOOD), "in/packed.zip/a.txt"])
    assert all(documents.count(document) == 2 for document in documents)
    lines = (scored / "quarantine.jsonl").read_text("utf-8").splitlines()
    found = {(line["input"], line["code"]) for line in map(json.loads, lines)}
    expected = {(f"in/{name}", code) for name, (_, code) in BROKEN.items() if "bomb" not in name}
    assert found >= expected | {("in/packed.zip/../b.txt", "unsafe_path")}
    assert {name for name, _ in found - expected} == {"in/packed.zip/../b.txt", "in/cut.tar.gz/a.txt"}


def test_the_summary_counts_what_is_in_the_parts(scored: Path) -> None:
    summary = json.loads((scored / "summary.json").read_text("utf-8"))
    rows = pq.read_table(scored / ROWS).to_pylist()
    assert summary["paragraphs"] == summary["run"]["paragraphs"] == len(rows) == sum(summary["confidence"])
    assert summary["paragraphs_without_topic"] == sum(not row["topics"] for row in rows)
    for topic, share in summary["topics"].items():
        assert share["paragraphs"] == sum(topic in row["topics"] for row in rows)
        assert share["primary"] == sum(topic == row["primary"] for row in rows)
    assert summary["months"]["2021-05"]["paragraphs"] == len(rows) - 2
    assert summary["sources"]["in/packed.zip"]["paragraphs"] == 2
    assert sum(summary["quarantine"].values()) == len((scored / "quarantine.jsonl").read_text("utf-8").splitlines())


def test_the_page_shows_topics_months_sources_and_the_quarantine(scored: Path) -> None:
    page = (scored / "summary.html").read_text("utf-8")
    for section in ("topics", "months", "sources", "confidence", "quarantine"):
        assert f'id="{section}"' in page
    assert "in/locked.pdf" in page
    assert "2021-05" in page
    assert "<svg" in page
    assert "http" not in page  # it loads nothing from anywhere


def test_the_status_file_tells_how_it_ended(scored: Path) -> None:
    status = json.loads((scored / "status.json").read_text("utf-8"))
    assert status["state"] == "done"
    assert status["files"] == status["files_listed"] > len(GOOD)
    assert status["failures"] > 10


def test_a_second_run_does_nothing_anew_and_still_names_what_is_broken(
    again: tuple[Path, Path], tiny_bundle: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, out = again
    before = {file: file.stat().st_mtime_ns for file in (out / ROWS).iterdir()}
    assert call(tiny_bundle, "score", folder, out) == 1
    assert {file: file.stat().st_mtime_ns for file in (out / ROWS).iterdir()} == before
    assert "本次 this run 0" in capfd.readouterr().out
    status = json.loads((out / "status.json").read_text("utf-8"))
    assert status["inputs_done_before"] == len(GOOD) + 1


def test_changed_mended_and_new_files_are_scored_and_no_other(again: tuple[Path, Path], tiny_bundle: Path) -> None:
    folder, out = again
    changed, mended, new = folder / "2021-05" / "plain.txt", folder / "empty.txt", folder / "new.txt"
    changed.write_text("会议研究了防汛工作，要严格落实值班制度。", "utf-8")
    os.utime(changed, (0, 0))  # noticed by its content
    for file in (mended, new):
        file.write_text(FARMS, "utf-8")
    before = table(out)
    assert call(tiny_bundle, "score", folder, out) == 1
    summary = json.loads((out / "summary.json").read_text("utf-8"))
    assert summary["run"]["paragraphs"] == 3
    fresh = {"in/2021-05/plain.txt", "in/empty.txt", "in/new.txt"}
    assert [row for row in table(out) if row[1] not in fresh] == [row for row in before if row[1] not in fresh]
    assert len([row for row in table(out) if row[1] in fresh]) == 3
    assert {file.stem for file in (out / "jsonl").iterdir()} == {file.stem for file in (out / ROWS).iterdir()}
    assert not (out / "csv").exists()
    assert "in/empty.txt" not in (out / "quarantine.jsonl").read_text("utf-8")


def test_wrong_use_is_one_message_and_exit_code_2(
    scored: Path,
    folder: Path,
    tiny_bundle: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert call(tiny_bundle, "score", tmp_path / "none", tmp_path / "out") == 2
    assert "nothing is there" in capfd.readouterr().err
    assert call(tiny_bundle, "score", folder, tmp_path / "out", "--ray-address", "x") == 2
    monkeypatch.chdir(tmp_path)
    capfd.readouterr()
    assert call(tiny_bundle, "score", folder, "s3://bucket/out") == 2
    assert "'OUT': s3://bucket/out" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []
    other = tmp_path / "other"
    shutil.copytree(tiny_bundle, other)
    from policy_topics.bundle import Provenance, write_manifest

    write_manifest(other, Provenance("other", 48, "none", parent=None), "fp32")
    capfd.readouterr()
    assert call(other, "score", folder, scored) == 2
    assert "holds rows of model tiny" in capfd.readouterr().err


def test_a_folder_that_cannot_be_written_to_is_told_before_anything_is_scored(
    folder: Path, tiny_bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert call(tiny_bundle, "score", folder, tmp_path / "file") == 2
    assert "cannot be written to" in capfd.readouterr().err
    mine = tmp_path / "out" / "csv" / "mine.csv"
    mine.parent.mkdir(parents=True)
    mine.touch()
    assert call(tiny_bundle, "score", folder, tmp_path / "out", "--also", "csv") == 2
    assert "mine.csv is not of this program" in capfd.readouterr().err
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["csv"]
    assert mine.exists()


def test_a_clean_folder_ends_with_exit_code_0(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(LINES, "utf-8")
    assert call(tiny_bundle, "score", tmp_path / "*.txt", tmp_path / "out") == 0
    assert len(table(tmp_path / "out")) == 2


def test_rows_that_were_too_long_are_scored_once_the_limit_is_raised(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(JSONL)
    longest = min(len(record["text"]) for record in RECORDS)
    for characters, code, ids in ((longest, 1, ["b"]), (longest, 1, ["b"]), (1000, 0, ["a", "b"])):
        setting = f"archive.document_characters={characters}"
        assert call(tiny_bundle, "--set", setting, "score", tmp_path / "rows.jsonl", tmp_path / "out") == code
        assert [row[0] for row in table(tmp_path / "out")] == ids


def test_every_file_whose_name_another_has_is_listed_with_where_it_lies(tiny_bundle: Path, tmp_path: Path) -> None:
    folders = [tmp_path / letter / "docs" for letter in "abc"]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "x.zip").write_bytes(zip_file({"1.txt": f"{folder}/x.zip/1.txt".encode()}))
    for _ in range(2):
        assert call(tiny_bundle, "score", *folders, tmp_path / "out") == 1
        (scored,) = (str(row[3]) for row in table(tmp_path / "out"))
        lines = map(json.loads, (tmp_path / "out" / "quarantine.jsonl").read_text("utf-8").splitlines())
        listed = {line["input"]: line["reason"].partition(":")[0] for line in lines}
        assert sorted(listed) == ["docs/x.zip/1.txt #2", "docs/x.zip/1.txt #3"]
        assert {scored, *listed.values()} == {f"{folder}/x.zip/1.txt" for folder in folders}


# Kills


def test_kills_at_random_moments_lose_and_double_nothing(tiny_bundle: Path, tmp_path: Path) -> None:
    random.seed(5)
    folder = tmp_path / "in"
    folder.mkdir()
    rows = [json.dumps({"id": str(n), "text": f"第{n}段：{FARMS}"}) for n in range(2400)]
    (folder / "many.jsonl").write_text("\n".join(rows), "utf-8")
    for number in range(40):
        (folder / f"{number:02}.txt").write_text(LINES + f"第{number}号文件。\n", "utf-8")
    (folder / "some.zip").write_bytes(zip_file({f"{n}.txt": f"{n} {LINES}".encode() for n in range(40)}))
    assert call(tiny_bundle, "score", folder, tmp_path / "whole") == 0

    out = tmp_path / "killed"
    # fmt: off
    command = [
        sys.executable, "-m", "cli.main", "--set", f"bundle={tiny_bundle}", "--set", "registry=null",
        "--set", "archive.part_rows=20", "score", str(folder), str(out),
    ]
    # fmt: on
    killed = 0
    for wanted in (1, 20, 45, 70):
        run = subprocess.Popen(command, cwd=HOME, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        while run.poll() is None and len(list(out.glob(f"{ROWS}/part-*"))) < wanted:
            time.sleep(0.01)
        time.sleep(random.random() / 20)
        killed += run.poll() is None
        run.send_signal(signal.SIGKILL)
        run.wait()
    assert killed >= 3
    subprocess.run(command, cwd=HOME, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert table(out) == table(tmp_path / "whole")
    assert len({row[0] for row in table(out)}) == len(table(out))


# What is told meanwhile


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_a_bar_on_a_terminal_and_plain_lines_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    monkeypatch.setattr(progress, "LINE_SECONDS", 0)
    monkeypatch.setattr(progress, "STATUS_SECONDS", 0)
    written = io.StringIO()
    console = Console(file=written, force_terminal=terminal, width=120)
    with RunProgress(tmp_path, Model("tiny", "abc", 1), Work(files=4, bytes=400), console) as told:
        told.follow(Scored("a", "hash", (), (), 50))
        told.follow(SourceDone(Source("a", "a", 100), 0))
        told.follow(Finished("b", None, faults=(BROKEN_FAULT,)))
        told.paragraphs = 7
        status = json.loads((tmp_path / "status.json").read_text("utf-8"))
        assert status["state"] == "running"
        assert (status["files"], status["failures"]) == (1, 1)
        told.follow(SourceDone(Source("b", "b", 100), 0))
        assert told.eta_seconds() == pytest.approx(told.seconds, rel=0.5)  # half of the bytes are left
    assert ("\x1b[" in written.getvalue()) is terminal
    assert "files 2/4" in written.getvalue()
    assert "failures 1" in written.getvalue()


def test_the_status_file_tells_of_a_run_that_was_stopped_or_failed(tmp_path: Path) -> None:
    for fault, state in ((KeyboardInterrupt, "stopped"), (RuntimeError, "failed")):
        with (
            pytest.raises(fault),
            RunProgress(tmp_path, Model("tiny", "abc", 1), Work(1, 1), Console(file=io.StringIO())),
        ):
            raise fault
        assert json.loads((tmp_path / "status.json").read_text("utf-8"))["state"] == state


# Ray


def test_ray_gives_the_rows_that_this_process_gives(again: tuple[Path, Path], tiny_bundle: Path, scored: Path) -> None:
    pytest.importorskip("ray")
    folder, out = again
    shutil.rmtree(out)
    assert call(tiny_bundle, "score", folder, out, "--engine", "ray") == 1
    assert table(out) == table(scored)
    assert (out / "quarantine.jsonl").read_text("utf-8") == (scored / "quarantine.jsonl").read_text("utf-8")
    (folder / "2021-05" / "plain.txt").write_text(FARMS, "utf-8")
    assert call(tiny_bundle, "score", folder, out, "--engine", "ray") == 1
    assert json.loads((out / "summary.json").read_text("utf-8"))["run"]["paragraphs"] == 1
    assert len(table(out)) == len(table(scored)) - 1


ONE, TWO, THREE = (("in/a.txt", f"hash of {number}") for number in ("one", "two", "three"))
OTHER = ("in/b.txt", "hash of other")


def scored_on_ray(out: Path, inputs: Sequence[tuple[str, str]]) -> tuple[set[str], list[str]]:
    """What the driver of a run makes of inputs (name, sha256), each of one row: all rows, what is in quarantine."""
    limits = ArchiveSettings(part_rows=10, document_characters=100, timeout_seconds=1)
    with Output(out, Model("tiny", "abc", 1), limits) as output:
        known = output.known_within("in")
        results: list[Result] = []
        for name, sha256 in inputs:
            if remaining(known.get(name), sha256) is None:
                results.append(Skipped(name, sha256))
            else:
                row = Row(f"{name}#0", name, 0, sha256, None, "")
                results += [Scored(name, sha256, (row,), (Topics((), (), 0.1),), 0), Finished(name, sha256)]
            results.append(SourceDone(Source(f"/{sha256}/a.txt", name, 0), 0))
        for result in ray_engine._admitted(iter(results), output):
            if isinstance(result, Scored):
                output.add(result)
            elif isinstance(result, Finished):
                output.finish(result)
        output.commit()
        texts = pq.read_table(out / ROWS)["text"].to_pylist()
        assert len(texts) == len(set(texts))
        faults = output.ledger.quarantine()
        return set(texts), [f"{name} {fault.reason.partition(':')[0]}" for name, fault in faults]


@pytest.mark.parametrize(
    ("inputs", "texts", "refused"),
    [
        ([ONE, ONE], {"hash of one"}, []),
        ([ONE, TWO], {"hash of one"}, ["in/a.txt #2 /hash of two/a.txt"]),
        ([ONE, TWO, THREE], {"hash of one"}, ["in/a.txt #2 /hash of two/a.txt", "in/a.txt #3 /hash of three/a.txt"]),
        ([ONE, OTHER, ONE], {"hash of one", "hash of other"}, []),
        ([ONE, OTHER, TWO], {"hash of one", "hash of other"}, ["in/a.txt #2 /hash of two/a.txt"]),
    ],
)  # fmt: skip
def test_on_ray_too_one_file_met_twice_is_scored_once_and_two_of_one_name_are_told_apart(
    tmp_path: Path, inputs: Sequence[tuple[str, str]], texts: set[str], refused: list[str]
) -> None:
    for _ in range(3):  # a run that finds them done tells them apart as the first did
        assert scored_on_ray(tmp_path, inputs) == (texts, refused)
