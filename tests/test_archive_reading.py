"""Reading archives: every format gives its paragraphs, and whatever is broken is named with the right reason."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import json
import os
import select
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from configs.settings import load_settings
from serve.archive import inputs, reading, word
from serve.archive.formats import Row
from serve.archive.inputs import Source
from serve.archive.reading import CHUNK_ROWS, Reader
from tests.archives import (
    BROKEN,
    CSV,
    FARMS,
    GOOD,
    JSONL,
    LINES,
    SCHOOLS,
    bomb,
    encrypted_zip,
    read_bytes,
    read_source,
    tar_file,
    zip_file,
)  # fmt: skip
from tests.test_documents import ARTICLE, pdf_file, web_page

TABLES = (".csv", ".tsv", ".jsonl", ".parquet")


@pytest.mark.parametrize("name", GOOD)
def test_every_format_gives_its_paragraphs(tmp_path: Path, name: str) -> None:
    read = read_bytes(tmp_path, name, GOOD[name]())
    assert read.faults == {}
    assert [text.replace(" ", "") for text in read.texts] == [FARMS, SCHOOLS]
    assert [row.number for row in read.rows] == [0, 1]
    own_ids = any(ending in name for ending in TABLES)
    assert [row.id for row in read.rows] == (["a", "b"] if own_ids else [f"{name}#0", f"{name}#1"])


@pytest.mark.parametrize("name", BROKEN)
def test_every_broken_file_is_named_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("PATH", "")  # no LibreOffice
    make, code = BROKEN[name]
    read = read_bytes(tmp_path, name, make())
    assert {each for codes in read.faults.values() for each in codes} == {code}
    assert name in read.faults
    assert read.source is not None


def test_an_old_word_file_is_read_with_the_converter_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "antiword").write_text(f"#!/bin/sh\nprintf '{FARMS}\\n'\n", "utf-8")
    (programs / "antiword").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    assert read_bytes(tmp_path, "old.doc", BROKEN["old.doc"][0]()).texts == [FARMS]
    (programs / "antiword").write_text("#!/bin/sh\necho 'not a Word document' >&2\nexit 1\n", "utf-8")
    read = read_bytes(tmp_path, "old.doc", BROKEN["old.doc"][0]())
    assert read.faults == {"old.doc": ["damaged"]}
    assert "not a Word document" in read.finished["old.doc"].faults[0].reason


def test_a_converter_that_hangs_is_ended_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    fifo = tmp_path / "held open while one of them lives"
    os.mkfifo(fifo)
    script = f"#!/bin/sh\n/bin/sleep 60 > '{fifo}' &\nwait\n"
    (programs / "soffice").write_text(script, "utf-8")
    (programs / "soffice").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setattr(word, "_SECONDS", 2)
    with open(os.open(fifo, os.O_RDONLY | os.O_NONBLOCK), "rb") as held:
        read = read_bytes(tmp_path, "old.doc", BROKEN["old.doc"][0]())
        ready, _, _ = select.select([held], [], [], 10)
    assert ready  # nobody writes any more
    assert read.faults == {"old.doc": ["damaged"]}
    assert "not converted within 2 s" in read.finished["old.doc"].faults[0].reason


def test_rows_that_cannot_be_read_are_counted_and_the_rest_is_taken(tmp_path: Path) -> None:
    lines = [json.dumps({"text": FARMS}), "{broken", "[]", '{"text": 5}', "", json.dumps({"text": SCHOOLS})]
    read = read_bytes(tmp_path, "rows.jsonl", "\n".join(lines).encode())
    assert [(row.number, row.text) for row in read.rows] == [(0, FARMS), (4, SCHOOLS)]
    (fault,) = read.finished["rows.jsonl"].faults
    assert fault.code == "bad_rows"
    assert "3 rows" in fault.reason
    assert "line 2" in fault.reason


def test_a_row_of_a_csv_file_with_too_few_fields_is_counted(tmp_path: Path) -> None:
    read = read_bytes(tmp_path, "rows.csv", CSV + b"c\n")
    assert read.texts == [FARMS, SCHOOLS]
    assert read.faults == {"rows.csv": ["bad_rows"]}


@pytest.mark.parametrize(
    "head",
    [
        "",
        "".join(f"{n},a row in English\n" for n in range(300)),
        "".join(f"{n},a row in English\n" for n in range(9000)),
    ],
    ids=["none", "of a page", "longer than what is looked at"],
)
@pytest.mark.parametrize("encoding", ["utf-8", "gb18030", "utf-16-le", "utf-16-be"])
def test_the_encoding_of_a_table_is_told_by_its_first_line_that_is_not_english(
    tmp_path: Path, encoding: str, head: str
) -> None:
    read = read_bytes(tmp_path, "rows.csv", f"id,text\n{head}x,{FARMS}\ny,{SCHOOLS}".encode(encoding))
    assert read.faults == {}
    assert read.texts[-2:] == [FARMS, SCHOOLS]
    assert len(read.rows) == head.count("\n") + 2
    (row,) = read_bytes(tmp_path, "row.csv", f"id,text\nx,{FARMS}".encode(encoding)).rows
    assert row.text == FARMS


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
@pytest.mark.parametrize("name", ["rows.jsonl", "rows.csv"])
def test_a_row_with_bytes_that_fit_no_encoding_is_counted(tmp_path: Path, name: str, encoding: str) -> None:
    table = {"rows.jsonl": '{"text": "%s"}\n' * 3, "rows.csv": "text\n" + "%s\n" * 3}[name]
    data = (table % (FARMS, f"{FARMS}?", SCHOOLS)).encode(encoding).replace(b"?", b"\xff")
    read = read_bytes(tmp_path, name, data)
    assert [(row.number, row.text) for row in read.rows] == [(0, FARMS), (2, SCHOOLS)]
    (fault,) = read.finished[name].faults
    assert fault.code == "bad_rows"
    assert "1 rows" in fault.reason and "fit no encoding" in fault.reason
    assert read.finished[name].replaced


def test_a_row_may_hold_the_sign_for_what_was_lost_before(tmp_path: Path) -> None:
    read = read_bytes(tmp_path, "rows.csv", f"text\n{FARMS}\ufffd\n".encode())
    assert (read.texts, read.faults) == ([f"{FARMS}\ufffd"], {})


def test_rows_in_front_of_a_fault_are_kept(tmp_path: Path) -> None:
    many = b"".join(json.dumps({"text": f"{n} {FARMS}"}).encode() + b"\n" for n in range(5000))
    read = read_bytes(tmp_path, "rows.jsonl.gz", gzip.compress(many)[:-2000])
    assert 1000 < len(read.rows) < 5000
    assert [row.number for row in read.rows] == list(range(len(read.rows)))
    assert read.faults == {"rows.jsonl.gz": ["damaged"]}


def test_rows_are_taken_as_they_are_and_carry_their_fields(tmp_path: Path) -> None:
    record = {"id": 7, "text": " 學習  A ", "document": "通知", "date": "2021年5月6日", "source": "县政府", "x": 1}
    (row,) = read_bytes(tmp_path, "rows.jsonl", json.dumps(record).encode()).rows
    assert row == Row("7", "通知", 0, " 學習  A ", "2021-05", "县政府")


def test_lone_surrogates_which_no_file_can_hold_are_replaced(tmp_path: Path) -> None:
    assert read_bytes(tmp_path, "rows.jsonl", b'{"text": "a\\ud800b"}').texts == ["a\ufffdb"]


@pytest.mark.parametrize(
    ("name", "month"),
    [("a/2021-05-06.txt", "2021-05"), ("a/20210506_x.txt", "2021-05"), ("2021/5/x.txt", "2021-05"),
     ("a/2021年12月.txt", "2021-12"), ("a/12345678.txt", None), ("a/x.txt", None)],
)  # fmt: skip
def test_the_month_of_a_document_is_in_its_name(tmp_path: Path, name: str, month: str | None) -> None:
    (tmp_path / "x").write_text(FARMS, "utf-8")
    (row,) = read_source(str(tmp_path / "x"), name).rows
    assert row.month == month


def test_texts_over_the_limit_are_named_and_never_cut(tmp_path: Path) -> None:
    assert read_bytes(tmp_path, "long.txt", LINES.encode(), characters=30).faults == {"long.txt": ["too_large"]}
    read = read_bytes(tmp_path, "rows.jsonl", JSONL, characters=22)
    assert read.faults == {"rows.jsonl": ["bad_rows"]}
    endless = b'{"text": "' + b"x" * 1000 + b'"}'
    assert read_bytes(tmp_path, "endless.jsonl", endless, characters=30).faults == {"endless.jsonl": ["too_large"]}


def test_pages_of_a_pdf_without_text_are_named(tmp_path: Path) -> None:
    read = read_bytes(tmp_path, "half.pdf", pdf_file([[FARMS], []]))
    assert read.texts == [FARMS]
    assert read.faults == {"half.pdf": ["partly_read"]}
    (fault,) = read.finished["half.pdf"].faults
    assert fault.reason.startswith("half.pdf: no text on page(s) 2; scanned pages are not read")


def test_the_lines_around_the_article_of_a_web_page_are_counted_and_no_fault(tmp_path: Path) -> None:
    page = web_page(ARTICLE.replace("<ul><li>扩大", "<p>【打印】</p><ul><li>扩大"))
    read = read_bytes(tmp_path, "news.html", page)
    around, boilerplate = 4, 1
    assert (read.finished["news.html"].dropped, read.faults) == (around + boilerplate, {})


# Archives


@pytest.mark.parametrize("form", ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_the_files_of_an_archive_are_inputs_of_their_own(tmp_path: Path, form: str) -> None:
    members = {
        "甲/plain.txt": LINES.encode(),
        "rows.jsonl.gz": gzip.compress(JSONL),
        ".DS_Store": b"x",
        "x.png": b"\x89PNG",
    }
    data = zip_file(members) if form == "zip" else tar_file(members, "w" + form.removeprefix("tar").replace(".", ":"))
    read = read_bytes(tmp_path, f"a.{form}", data)
    assert read.texts == [FARMS, SCHOOLS] * 2
    assert {row.document for row in read.rows} == {f"a.{form}/甲/plain.txt", f"a.{form}/rows.jsonl.gz"}
    assert read.faults == {f"a.{form}/x.png": ["unsupported_type"]}


def test_an_archive_is_known_by_its_content(tmp_path: Path) -> None:
    assert read_bytes(tmp_path, "download", tar_file({"a.txt": LINES.encode()}, "w:gz")).texts == [FARMS, SCHOOLS]
    assert read_bytes(tmp_path, "download2", zip_file({"a.txt": LINES.encode()})).texts == [FARMS, SCHOOLS]


def test_names_of_old_chinese_zip_files_are_read(tmp_path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo("AA.txt"), LINES)
    data = file.getvalue().replace(b"AA.txt", "文".encode("gb18030") + b".txt")
    assert {row.document for row in read_bytes(tmp_path, "a.zip", data).rows} == {"a.zip/文.txt"}


def test_names_of_old_chinese_tar_files_are_read(tmp_path: Path) -> None:
    texts = {"政府/报告.txt": FARMS, "政府/公告.txt": SCHOOLS}
    data = tar_file({name: text.encode() for name, text in texts.items()}, encoding="gb18030")
    read = read_bytes(tmp_path, "a.tar", data)
    assert {row.document: row.text for row in read.rows} == {f"a.tar/{name}": text for name, text in texts.items()}


@pytest.mark.parametrize(
    "harm",
    [lambda tar: tar[:1024], lambda tar: tar[:1300], lambda tar: tar[:1024] + b"\xff" * 16 + tar[1040:]],
    ids=["cut between files", "cut in a header", "a damaged header"],
)
def test_a_tar_file_that_breaks_off_is_named_and_what_was_read_stays(
    tmp_path: Path, harm: Callable[[bytes], bytes]
) -> None:
    read = read_bytes(tmp_path, "a.tar", harm(tar_file({"good.txt": LINES.encode(), "lost.txt": LINES.encode()})))
    assert read.texts == [FARMS, SCHOOLS]
    assert read.faults == {"a.tar": ["damaged"]}


@pytest.mark.parametrize("name", ["../evil.txt", "/etc/evil.txt", "a/../../evil.txt", "..\\evil.txt", "C:/evil.txt"])
@pytest.mark.parametrize("form", [zip_file, tar_file])
def test_names_that_lead_out_of_an_archive_are_refused_and_the_rest_is_read(tmp_path: Path, form, name: str) -> None:  # type: ignore[no-untyped-def]
    inner = tmp_path / "inner"
    inner.mkdir()
    read = read_bytes(inner, "a.bin", form({name: b"x", "good.txt": LINES.encode()}))
    assert read.texts == [FARMS, SCHOOLS]
    assert list(read.faults.values()) == [["unsafe_path"]]
    assert [file.name for file in tmp_path.rglob("*")] == ["inner", "a.bin"]


def test_links_in_archives_are_refused(tmp_path: Path) -> None:
    assert read_bytes(tmp_path, "a.tar", tar_file({}, links=("passwd",))).faults == {"a.tar/passwd": ["unsafe_path"]}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        link = zipfile.ZipInfo("passwd")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    assert read_bytes(tmp_path, "a.zip", file.getvalue()).faults == {"a.zip/passwd": ["unsafe_path"]}


def test_a_bomb_in_an_archive_is_refused_and_the_rest_is_read(tmp_path: Path) -> None:
    read = read_bytes(tmp_path, "a.zip", zip_file({"bomb.txt": bomb(), "good.txt": LINES.encode()}))
    assert read.faults == {"a.zip/bomb.txt": ["bomb"]}
    assert read.texts == [FARMS, SCHOOLS]
    read = read_bytes(tmp_path, "a.tar.gz", tar_file({"good.txt": LINES.encode(), "bomb.txt": bomb()}, "w:gz"))
    assert ["bomb"] in read.faults.values()
    assert read.texts == [FARMS, SCHOOLS]


def test_an_archive_of_many_small_bombs_is_refused(tmp_path: Path) -> None:
    half = b"\0" * (40 << 20)
    assert read_bytes(tmp_path, "a.zip", zip_file({"a.txt": half, "b.txt": half})).faults == {"a.zip": ["bomb"]}


def test_encrypted_and_nested_files_of_an_archive_are_named(tmp_path: Path) -> None:
    read = read_bytes(tmp_path, "a.zip", encrypted_zip({"secret.txt": LINES.encode()}))
    assert read.faults == {"a.zip/secret.txt": ["encrypted"]}
    read = read_bytes(tmp_path, "b.zip", zip_file({"inner.zip": zip_file({"a.txt": b"x"}), "good.txt": LINES.encode()}))
    assert read.faults == {"b.zip/inner.zip": ["nested_archive"]}
    assert read.texts == [FARMS, SCHOOLS]


def test_a_file_damaged_within_an_archive_does_not_stop_the_others(tmp_path: Path) -> None:
    data = zip_file({"bad.txt": LINES.encode(), "good.txt": LINES.encode()}, zipfile.ZIP_STORED)
    data = data.replace(FARMS.encode(), SCHOOLS.encode()[: len(FARMS.encode())].ljust(len(FARMS.encode())), 1)
    read = read_bytes(tmp_path, "a.zip", data)
    assert read.faults == {"a.zip/bad.txt": ["damaged"]}
    assert read.texts == [FARMS, SCHOOLS]


def test_what_is_done_is_not_read_again(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(JSONL)
    assert read_source(str(tmp_path / "rows.jsonl"), "rows.jsonl", done=1).texts == [SCHOOLS]
    read = read_source(str(tmp_path / "rows.jsonl"), "rows.jsonl", done=None)
    assert read.rows == []
    assert read.source is not None
    assert read.source.skipped == 1


def test_whatever_takes_long_gives_signs_of_life(tmp_path: Path) -> None:
    told: list[object] = []

    def admit(name: str, sha256: str) -> int:
        told.append("admitted")
        return 50_000  # all are done: they are passed over

    reader = Reader(admit, lambda texts: [], load_settings().archive, lambda *place: told.append(place))
    (tmp_path / "rows.jsonl").write_bytes(JSONL * 25_000)
    list(reader.read(Source(str(tmp_path / "rows.jsonl"), "rows.jsonl", 0)))
    admitted = told.index("admitted")
    assert told[:admitted].count(("rows.jsonl", None)) > 10  # while it was hashed
    assert told[admitted:].count(("rows.jsonl", None)) > 50_000 / CHUNK_ROWS


def test_a_file_of_an_archive_is_announced_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[object] = []

    def at(name: str, number: int | None) -> None:
        if told[-1:] != [(name, number)]:
            told.append((name, number))

    def spool(stream: BinaryIO) -> tuple[BinaryIO, str]:
        told.append("unpacked")
        return inputs.spool(stream)

    monkeypatch.setattr(reading, "spool", spool)
    (tmp_path / "a.zip").write_bytes(zip_file({"1.txt": LINES.encode(), "2.txt": LINES.encode()}))
    reader = Reader(lambda *_: None, lambda texts: [], load_settings().archive, at)
    list(reader.read(Source(str(tmp_path / "a.zip"), "a.zip", 0)))
    archive, first, second = ("a.zip", None), ("a.zip/1.txt", 0), ("a.zip/2.txt", 1)
    assert told == [archive, first, "unpacked", first, archive, second, "unpacked", second, archive]


def test_a_file_for_whose_copy_there_is_no_room_is_named_and_the_others_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spool(stream: BinaryIO) -> tuple[BinaryIO, str]:
        copy, sha256 = inputs.spool(stream)
        if sha256 == hashlib.sha256(b"large").hexdigest():
            raise OSError(errno.ENOSPC, "No space left on device")
        return copy, sha256

    monkeypatch.setattr(reading, "spool", spool)
    read = read_bytes(tmp_path, "a.zip", zip_file({"large.txt": b"large", "good.txt": LINES.encode()}))
    assert read.faults == {"a.zip/large.txt": ["no_room"]}
    assert "TMPDIR" in read.finished["a.zip/large.txt"].faults[0].reason
    assert read.texts == [FARMS, SCHOOLS]


def test_inputs_are_known_by_their_content(tmp_path: Path) -> None:
    data = {"a.txt": LINES.encode(), "a.txt.gz": gzip.compress(LINES.encode(), mtime=0)}
    for name, content in data.items():
        assert read_bytes(tmp_path, name, content).finished[name].sha256 == hashlib.sha256(content).hexdigest()
    archive = read_bytes(tmp_path, "a.zip", zip_file(data))
    hashes = {name.removeprefix("a.zip/"): each.sha256 for name, each in archive.finished.items()}
    assert hashes == {"a.zip": None, **{name: hashlib.sha256(data[name]).hexdigest() for name in data}}
