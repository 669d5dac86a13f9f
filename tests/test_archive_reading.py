"""Reading archives: every format gives its paragraphs, and whatever is broken is named with the right reason."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import stat
import zipfile
from pathlib import Path

import fsspec
import pytest

from serve.archive.formats import Row
from serve.archive.inputs import InputError, list_sources
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

TABLES = (".csv", ".tsv", ".jsonl", ".parquet")


@pytest.mark.parametrize("name", GOOD)
def test_every_format_gives_its_paragraphs(tmp_path: Path, name: str) -> None:
    read = read_bytes(tmp_path, name, GOOD[name]())
    assert read.faults == {}
    assert [text.replace(" ", "") for text in read.texts] == [FARMS, SCHOOLS]
    assert [row.index for row in read.rows] == [0, 1]
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


def test_rows_that_cannot_be_read_are_counted_and_the_rest_is_taken(tmp_path: Path) -> None:
    lines = [json.dumps({"text": FARMS}), "{broken", "[]", '{"text": 5}', "", json.dumps({"text": SCHOOLS})]
    read = read_bytes(tmp_path, "rows.jsonl", "\n".join(lines).encode())
    assert [(row.index, row.text) for row in read.rows] == [(0, FARMS), (4, SCHOOLS)]
    (fault,) = read.finished["rows.jsonl"].faults
    assert fault.code == "bad_rows"
    assert "3 rows" in fault.reason
    assert "line 2" in fault.reason


def test_a_row_of_a_csv_file_with_too_few_fields_is_counted(tmp_path: Path) -> None:
    read = read_bytes(tmp_path, "rows.csv", CSV + b"c\n")
    assert read.texts == [FARMS, SCHOOLS]
    assert read.faults == {"rows.csv": ["bad_rows"]}


def test_rows_in_front_of_a_fault_are_kept(tmp_path: Path) -> None:
    many = b"".join(json.dumps({"text": f"{n} {FARMS}"}).encode() + b"\n" for n in range(5000))
    read = read_bytes(tmp_path, "rows.jsonl.gz", gzip.compress(many)[:-2000])
    assert 1000 < len(read.rows) < 5000
    assert [row.index for row in read.rows] == list(range(len(read.rows)))
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
    from tests.test_documents import pdf_file

    read = read_bytes(tmp_path, "half.pdf", pdf_file([[FARMS], []]))
    assert read.texts == [FARMS]
    assert read.faults == {"half.pdf": ["partly_read"]}


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


def test_inputs_are_known_by_their_content(tmp_path: Path) -> None:
    data = {"a.txt": LINES.encode(), "a.txt.gz": gzip.compress(LINES.encode(), mtime=0)}
    for name, content in data.items():
        assert read_bytes(tmp_path, name, content).finished[name].sha256 == hashlib.sha256(content).hexdigest()
    archive = read_bytes(tmp_path, "a.zip", zip_file(data))
    hashes = {name.removeprefix("a.zip/"): each.sha256 for name, each in archive.finished.items()}
    assert hashes == {"a.zip": None, **{name: hashlib.sha256(data[name]).hexdigest() for name in data}}


# What there is to read


def names(*addresses: object, leave_out: Path = Path("/nowhere")) -> list[str]:
    return [source.name for source in list_sources([str(address) for address in addresses], leave_out)]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("in/b.txt", "in/a/2.txt", "in/a/1[1].txt", "in/.git/x.txt", "in/.hidden.txt", "in/out/part.parquet"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(FARMS, "utf-8")
    return tmp_path / "in"


def test_folders_are_walked_in_order_without_hidden_files_and_the_output(tree: Path) -> None:
    assert names(tree, leave_out=tree / "out") == ["in/b.txt", "in/a/1[1].txt", "in/a/2.txt"]


def test_names_do_not_depend_on_the_working_directory(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absolute = names(tree)
    monkeypatch.chdir(tree)
    assert names(".") == absolute
    monkeypatch.chdir(tree.parent)
    assert names("in") == absolute


def test_globs_and_files_with_signs_of_globs_in_their_names(tree: Path) -> None:
    assert names(tree / "a" / "*.txt") == ["a/1[1].txt", "a/2.txt"]
    assert names(tree / "**" / "2.txt") == ["in/a/2.txt"]
    assert names(tree / "a" / "1[1].txt", tree / "b.txt") == ["1[1].txt", "b.txt"]


def test_an_address_that_comes_to_nothing_is_wrong_use(tree: Path) -> None:
    for address in (tree / "none.txt", tree / "*.nothing", "memory://none", "nosuchprotocol://x"):
        with pytest.raises(InputError, match=r"none|nothing|nosuchprotocol"):
            names(address)


def test_links_to_folders_are_named_and_not_followed(tree: Path) -> None:
    (tree / "circle").symlink_to(tree)
    (tree / "dangling.txt").symlink_to(tree / "gone.txt")
    for name in ("in/circle", "in/dangling.txt"):
        assert name in names(tree)
        assert read_source(str(tree.parent / name), name).faults == {name: ["unreachable"]}


def test_file_names_that_are_no_utf8_are_shown_as_their_writers_meant_them(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    with open(os.fsencode(folder) + b"/" + "文件.txt".encode("gb18030"), "wb") as file:
        file.write(LINES.encode())
    (source,) = list_sources([str(folder)], tmp_path / "out")
    assert source.name == "in/文件.txt"
    assert read_source(source.address, source.name).texts == [FARMS, SCHOOLS]


def test_addresses_of_fsspec_are_listed_and_read() -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe({"/bucket/a/plain.txt": LINES.encode(), "/bucket/rows.jsonl.gz": gzip.compress(JSONL)})
    try:
        for address in ("memory://bucket", "memory://bucket/**/*"):
            sources = list(list_sources([address], Path("/nowhere")))
            assert {source.name for source in sources} == {"bucket/a/plain.txt", "bucket/rows.jsonl.gz"}
            for source in sources:
                assert read_source(source.address, source.name).texts == [FARMS, SCHOOLS]
        assert names("memory://bucket/a/plain.txt") == ["plain.txt"]
    finally:
        memory.rm("/bucket", recursive=True)
