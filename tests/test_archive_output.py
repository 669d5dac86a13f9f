"""The output folder: every row once, whatever happens; one model; changed inputs replaced."""

from __future__ import annotations

import csv
import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from configs.settings import ArchiveSettings
from serve.archive.export import export
from serve.archive.faults import Duplicate, Fault, OutputError
from serve.archive.formats import Row
from serve.archive.job import Form
from serve.archive.ledger import FILE, Model
from serve.archive.output import ROWS, Output
from serve.archive.reading import Finished
from serve.archive.scoring import Scored, Topics

MODEL = Model("tiny", "abc", 1)


def rows(name: str, first: int, count: int) -> Scored:
    topics = Topics(("health", "fiscal"), (0.9, 0.6), 0.9)
    numbers = range(first, first + count)
    each = tuple(Row(f"{name}#{n}", name, n, f"第{n}段，\n“引号”", "2021-05", "县政府") for n in numbers)
    return Scored(name, f"hash of {name}", each, (topics,) * count, 0)


@contextmanager
def output(folder: Path, part_rows: int = 4, model: Model = MODEL, characters: int = 100) -> Iterator[Output]:
    limits = ArchiveSettings(part_rows=part_rows, document_characters=characters, timeout_seconds=1)
    with Output(folder, model, limits) as opened:
        yield opened


def ids(folder: Path) -> list[str]:
    return sorted(pq.read_table(folder / ROWS)["id"].to_pylist())


def complete(opened: Output, *names: str, count: int = 3) -> None:
    for name in names:
        if opened.admit(name, f"hash of {name}") == 0:
            opened.add(rows(name, 0, count))
            opened.finish(Finished(name, f"hash of {name}"))
    opened.commit()


def test_rows_and_the_models_name_are_in_parts_of_parquet(tmp_path: Path) -> None:
    with output(tmp_path) as opened:
        complete(opened, "a", "b", "c")
        files = opened.files()
    assert len(files) == 2
    table = pq.read_table(files[0])
    # fmt: off
    assert table.column_names == [
        "id", "document", "index", "text", "topics", "probabilities", "primary", "model", "taxonomy",
    ]
    # fmt: on
    assert table.schema.metadata == {b"model": b"tiny", b"model_version": b"abc", b"taxonomy": b"1"}
    row = table.to_pylist()[1]
    assert row["topics"] == ["health", "fiscal"]
    assert row["probabilities"] == pytest.approx([0.9, 0.6])
    assert (row["primary"], row["model"], row["taxonomy"]) == ("health", "tiny abc", 1)


def test_what_is_done_is_known_and_half_done_inputs_go_on_behind_their_last_row(tmp_path: Path) -> None:
    with output(tmp_path) as opened:
        complete(opened, "whole")
        opened.admit("half", "hash of half")
        opened.add(rows("half", 0, 4))  # fills a part
        opened.add(rows("half", 4, 2))  # never committed
    with output(tmp_path) as opened:
        assert opened.admit("whole", "hash of whole") is None
        assert opened.admit("half", "hash of half") == 4
        assert opened.admit("new", "hash of new") == 0


def test_what_a_killed_run_left_behind_is_removed(tmp_path: Path) -> None:
    with output(tmp_path) as opened:
        complete(opened, "a")
        (part,) = opened.files()
    (tmp_path / ROWS / "part-000002.parquet").write_bytes(part.read_bytes())  # renamed, but not in the ledger
    (tmp_path / ROWS / ".part-000003.parquet.unfinished").write_bytes(b"half a part")
    with output(tmp_path):
        pass
    assert [file.name for file in (tmp_path / ROWS).iterdir()] == [part.name]


def test_the_rows_of_a_changed_input_are_replaced_and_those_beside_them_stay(tmp_path: Path) -> None:
    with output(tmp_path) as opened:
        complete(opened, "a", "b", "c")
    with output(tmp_path) as opened:
        assert opened.admit("b", "another hash") == 0
        assert ids(tmp_path) == [f"{name}#{n}" for name in "ac" for n in range(3)]
        opened.add(rows("b", 0, 2))
        opened.finish(Finished("b", "another hash"))
        opened.commit()
        assert opened.ledger.tally().rows == opened.ledger.totals()["paragraphs"] == 8
    assert ids(tmp_path) == ["a#0", "a#1", "a#2", "b#0", "b#1", "c#0", "c#1", "c#2"]
    with output(tmp_path) as opened:  # spans still fit the parts that were written anew
        assert opened.admit("c", "another hash") == 0
        assert ids(tmp_path) == ["a#0", "a#1", "a#2", "b#0", "b#1"]


def test_a_kill_while_changed_rows_are_removed_leaves_none_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with output(tmp_path, part_rows=2) as opened:
        complete(opened, "a", "b", "c", count=1)
        opened.admit("long", "hash of long")
        for first in range(0, 6, 2):
            opened.add(rows("long", first, 2))
        opened.finish(Finished("long", "hash of long"))
        opened.commit()
    with output(tmp_path) as opened, monkeypatch.context() as patched:
        removed: list[int] = []

        def stop(old: int, *_: object) -> None:
            removed.append(old)
            if len(removed) == 2:
                raise KeyboardInterrupt
            whole(old, *_)  # type: ignore[arg-type]

        whole = opened.ledger.replace_part
        patched.setattr(opened.ledger, "replace_part", stop)
        with pytest.raises(KeyboardInterrupt):
            opened.admit("long", "another hash")
    with output(tmp_path) as opened:
        assert opened.admit("long", "hash of long") == 0  # even if the file is as it first was
        assert ids(tmp_path) == ["a#0", "b#0", "c#0"]


def test_with_another_limit_of_characters_what_it_may_have_refused_is_read_from_scratch(tmp_path: Path) -> None:
    with output(tmp_path) as opened:
        complete(opened, "whole")
        opened.admit("refused", "hash of refused")
        opened.add(rows("refused", 0, 2))
        opened.finish(Finished("refused", "hash of refused", faults=(Fault("bad_rows", "a text too long"),)))
        opened.commit()
        opened.admit("half", "hash of half")
        opened.add(rows("half", 0, 4))
    with output(tmp_path) as opened:
        assert [opened.admit(name, f"hash of {name}") for name in ("whole", "refused", "half")] == [None, None, 4]
    with output(tmp_path, characters=1000) as opened:
        assert opened.admit("refused", "hash of refused") == 0
        opened.add(rows("refused", 0, 2))
        opened.commit()  # and then it is cut off
    with output(tmp_path, characters=1000) as opened:
        assert [opened.admit(name, f"hash of {name}") for name in ("whole", "refused", "half")] == [None, 2, 0]
        assert ids(tmp_path) == ["refused#0", "refused#1", "whole#0", "whole#1", "whole#2"]


def test_an_output_takes_the_rows_of_one_model(tmp_path: Path) -> None:
    with output(tmp_path):
        pass
    for other in (Model("tiny", "def", 1), Model("tiny", "abc", 2)):
        with pytest.raises(OutputError, match="holds rows of model tiny abc"), output(tmp_path, model=other):
            pass


def test_two_runs_do_not_write_to_one_folder(tmp_path: Path) -> None:
    with output(tmp_path), pytest.raises(OutputError, match="another run"), output(tmp_path):
        pass


def test_a_missing_part_and_a_strange_file_are_named(tmp_path: Path) -> None:
    with output(tmp_path) as opened:
        complete(opened, "a")
        (part,) = opened.files()
    strange = tmp_path / ROWS / "notes.txt"
    strange.write_text("mine", "utf-8")
    with pytest.raises(OutputError, match=r"notes\.txt"), output(tmp_path):
        pass
    strange.unlink()
    part.unlink()
    with pytest.raises(OutputError, match=r"part-000001\.parquet is missing"), output(tmp_path):
        pass


def test_parts_without_their_ledger_are_kept_and_the_loss_is_named(tmp_path: Path) -> None:
    with output(tmp_path) as opened:
        complete(opened, "a", "b")
    ledger = tmp_path / FILE
    kept = ledger.rename(tmp_path / "kept")
    for _ in range(2):
        with pytest.raises(OutputError, match=r"ledger\.sqlite is missing"), output(tmp_path):
            pass
        ledger.touch()  # as a full disk may leave it
    assert len(ids(tmp_path)) == 6
    kept.rename(ledger)
    with output(tmp_path) as opened:
        assert opened.admit("a", "hash of a") is None


def test_parts_that_the_ledger_cannot_know_of_are_kept_and_named(tmp_path: Path) -> None:
    with output(tmp_path) as opened:
        complete(opened, "a")
        older = (tmp_path / FILE).read_bytes()
    with output(tmp_path) as opened:
        complete(opened, "b")
        complete(opened, "c")
    (tmp_path / FILE).write_bytes(older)
    with (
        pytest.raises(OutputError, match=r"part-000003\.parquet: ledger\.sqlite knows of no such part"),
        output(tmp_path),
    ):
        pass
    assert len(ids(tmp_path)) == 9


def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(OutputError, match=f"{folder}: cannot be written to"), output(folder):
            pass
    (tmp_path / FILE).write_text("no ledger", "utf-8")
    with pytest.raises(OutputError, match=r"ledger\.sqlite cannot be read or written"), output(tmp_path):
        pass


def test_a_full_disk_is_named_and_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with output(tmp_path) as opened:
        complete(opened, "a")
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", full)
            with pytest.raises(OutputError, match="No space left on device"):
                complete(opened, "b")
        assert [file.name for file in (tmp_path / ROWS).iterdir()] == ["part-000001.parquet"]
    with output(tmp_path) as opened:
        opened.ledger._base.execute("PRAGMA max_page_count = 1")  # from now on it cannot grow
        with pytest.raises(OutputError, match="disk is full"):
            complete(opened, *(f"{n}" for n in range(500)))
    with output(tmp_path) as opened:
        complete(opened, "a", "b")
    assert {each.partition("#")[0] for each in ids(tmp_path)} >= {"a", "b"}
    assert len(ids(tmp_path)) == len(set(ids(tmp_path)))


def test_one_file_met_twice_is_scored_once_and_two_of_one_name_are_told_apart(tmp_path: Path) -> None:
    with output(tmp_path) as opened:
        assert opened.admit("a", "hash") == 0
        assert opened.admit("a", "hash") is None
        for number in (2, 3):
            with pytest.raises(Duplicate) as refused:
                opened.admit("a", "another hash")
            assert refused.value.number == number


def test_broken_inputs_are_tried_again_and_leave_the_quarantine_once_they_are_mended(tmp_path: Path) -> None:
    with output(tmp_path) as opened:
        opened.admit("a", "broken")
        opened.finish(Finished("a", "broken", faults=(Fault("damaged", "cut"),)))
        opened.commit()
        assert dict(opened.ledger.quarantine()) == {"a": Fault("damaged", "cut")}
    with output(tmp_path) as opened:
        assert opened.admit("a", "broken") == 0
    with output(tmp_path) as opened:
        complete(opened, "a")
        assert dict(opened.ledger.quarantine()) == {}
        assert opened.ledger.totals()["inputs_done"] == 1


def test_faults_that_have_passed_leave_the_quarantine_when_an_input_is_found_done(tmp_path: Path) -> None:
    lasting = Fault("bad_rows", "2 rows not scored")
    with output(tmp_path) as opened:
        opened.admit("a", "hash of a")
        opened.add(rows("a", 0, 3))
        opened.finish(Finished("a", "hash of a", faults=(lasting,)))
        opened.commit()
    for code in ("unreachable", "timed_out", "crashed"):
        with output(tmp_path) as opened:
            opened.finish(Finished("a", None, faults=(Fault(code, "once"),)))
            opened.commit()
            opened.ledger.note_run(1, 0)
            assert [fault.code for _, fault in opened.ledger.quarantine()] == ["bad_rows", code]
        with output(tmp_path) as opened:
            assert opened.admit("a", "hash of a") is None
            assert list(opened.ledger.quarantine()) == [("a", lasting)]


def test_inputs_that_a_whole_run_does_not_meet_leave_the_quarantine(tmp_path: Path) -> None:
    gone, broken, partly = "gone", "broken", "partly"
    with output(tmp_path) as opened:
        opened.finish(Finished(gone, None, faults=(Fault("unreachable", "away"),)))
        opened.finish(Finished(broken, "hash", faults=(Fault("damaged", "cut"),)))
        opened.finish(Finished(partly, "hash", faults=(Fault("partly_read", "its rows stay"),)))
        opened.commit()
    with output(tmp_path) as opened:
        opened.admit(broken, "hash")
        opened.finish(Finished(broken, "hash", faults=(Fault("damaged", "cut"),)))
        opened.commit()
        assert [name for name, _ in opened.ledger.quarantine()] == [broken, gone, partly]  # the run may be cut off
        opened.ledger.note_run(1, 0)
        assert [name for name, _ in opened.ledger.quarantine()] == [broken, partly]


def test_an_input_that_was_out_of_reach_can_be_met_again_in_the_same_run(tmp_path: Path) -> None:
    with output(tmp_path) as opened:
        opened.finish(Finished("a", None, faults=(Fault("unreachable", "once"),)))
        opened.commit()
        complete(opened, "a")
        assert opened.admit("a", "hash of a") is None
        assert list(opened.ledger.quarantine()) == []


def test_files_of_others_beside_the_parts_in_another_form_are_kept_and_named(tmp_path: Path) -> None:
    with output(tmp_path) as opened:
        complete(opened, "a")
        parts = opened.files()
    folder = tmp_path / "csv"
    export(parts, folder, Form.csv)
    (folder / ".part-000009.csv.unfinished").touch()  # of a run that was killed
    export(parts, folder, Form.csv)
    assert [file.name for file in folder.iterdir()] == ["part-000001.csv"]
    for strange in (folder / "mine.csv", folder / "part-000002.csv.bak"):
        strange.touch()
        with pytest.raises(OutputError, match=f"{strange.name} is not of this program"):
            export(parts, folder, Form.csv)
        strange.unlink()  # which fails if it is gone
    (folder / "part-000002.csv").mkdir()
    with pytest.raises(OutputError, match=r"part-000002\.csv is not of this program"):
        export(parts, folder, Form.csv)


def test_parts_are_written_as_json_lines_and_csv_on_request(tmp_path: Path) -> None:
    with output(tmp_path) as opened:
        complete(opened, "a", "b")
        parts = opened.files()
    for form in Form:
        folder = tmp_path / form
        export(parts, folder, form)
        (folder / f"part-000009.{form}").write_text("of a part that is gone", "utf-8")
        export(parts, folder, form)
        assert [file.stem for file in sorted(folder.iterdir())] == [part.stem for part in parts]
    expected = pq.read_table(tmp_path / ROWS).to_pylist()
    lines = [line for file in sorted((tmp_path / "jsonl").iterdir()) for line in file.read_text("utf-8").splitlines()]
    assert [json.loads(line)["text"] for line in lines] == [row["text"] for row in expected]
    assert json.loads(lines[0])["probabilities"] == [0.9, 0.6]
    with (tmp_path / "csv" / f"{parts[0].stem}.csv").open(encoding="utf-8", newline="") as file:
        first = next(csv.DictReader(file))
    assert first["text"] == expected[0]["text"]
    assert first["topics"] == "health;fiscal"
