"""What there is to read: files, folders, globs and addresses, without the output itself; nothing vanishes."""

from __future__ import annotations

import errno
import gzip
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from serve.archive.faults import Unreachable
from serve.archive.inputs import InputError, Source, fetch, list_sources
from tests.archives import FARMS, JSONL, LINES, SCHOOLS, read_source


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


@pytest.mark.parametrize("address", ["in", "in/*", "in/**", "in/**/*", "in/../in", "file://{}/in", "link"])
def test_the_output_is_never_read_however_one_gets_there(
    tree: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.chdir(tree.parent)
    Path("link").symlink_to("in")
    (tree / "a" / "part.parquet").symlink_to(tree / "out" / "part.parquet")
    found = names(address.format(tree.parent), leave_out=Path("link/out"))
    assert [Path(name).name for name in found] == ["b.txt", "1[1].txt", "2.txt"]


def test_the_output_is_not_read_where_the_working_directory_is_in_it(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tree / "out")
    assert [Path(name).name for name in names("..", leave_out=Path("."))] == ["b.txt", "1[1].txt", "2.txt"]
    assert [Path(name).name for name in names("../*.txt", "../out", leave_out=Path("."))] == ["b.txt"]


def test_inputs_that_all_lie_in_the_output_are_wrong_use(tree: Path) -> None:
    for address in (tree, tree / "b.txt", tree / "*"):
        with pytest.raises(InputError, match="lies in it"):
            names(address, leave_out=tree)


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
    assert names(tree / "*", leave_out=tree / "out") == names(tree, leave_out=tree / "out")
    assert names(f"{tree}/*/", leave_out=tree / "out") == ["in/a/1[1].txt", "in/a/2.txt"]
    assert names(tree / ".h*") == ["in/.hidden.txt"]


def test_an_address_that_comes_to_nothing_is_wrong_use(tree: Path) -> None:
    for address in (tree / "none.txt", tree / "*.nothing", "memory://none", "nosuchprotocol://x"):
        with pytest.raises(InputError, match=r"none|nothing|nosuchprotocol"):
            names(address)


def test_whatever_the_library_of_a_file_system_raises_is_told_of_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoCredentialsError(Exception):
        """As botocore's: of no built-in kind."""

    def refuse(*_: object, **__: object) -> None:
        raise NoCredentialsError("Unable to locate credentials")

    monkeypatch.setattr(MemoryFileSystem, "isdir", refuse)
    with pytest.raises(InputError, match="memory://bucket: Unable to locate credentials"):
        names("memory://bucket")


def test_links_to_folders_are_named_and_not_followed(tree: Path) -> None:
    (tree / "circle").symlink_to(tree)
    (tree / "dangling.txt").symlink_to(tree / "gone.txt")
    for name in ("in/circle", "in/dangling.txt"):
        assert name in names(tree)
        read = read_source(str(tree.parent / name), name)
        assert read.faults == {name: ["unreachable"]}
        (fault,) = read.finished[name].faults
        assert ("a link to a folder, which is not followed; name it itself" in fault.reason) is (name == "in/circle")


def test_globs_of_any_depth_follow_no_links_and_meet_each_file_once(tree: Path) -> None:
    for link in ("loop", "loop2"):
        (tree / "a" / link).symlink_to("..")
    for pattern in ("**", "**/*", "**/**"):
        found = names(tree / pattern, leave_out=tree / "out")
        assert found == ["in/b.txt", "in/a/1[1].txt", "in/a/2.txt", "in/a/loop", "in/a/loop2"]


def test_a_link_to_a_folder_that_a_glob_asks_for_is_followed(tree: Path) -> None:
    (tree.parent / "links").mkdir()
    (tree.parent / "links" / "first").symlink_to(tree / "a")
    assert names(tree.parent / "links" / "*") == ["links/first/1[1].txt", "links/first/2.txt"]


# Folders that cannot be listed


def closed(listing: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Listing, but for folders of a name."""

    def refuse(*arguments: Any, **options: Any) -> Any:
        if Path(arguments[-1]).name == name:
            raise PermissionError(errno.EACCES, "Permission denied")
        return listing(*arguments, **options)

    return refuse


def unlisted(sources: Iterator[Source]) -> list[str]:
    """Names of the folders among them, which reading refuses."""
    folders = [source for source in sources if source.unlisted]
    for folder in folders:
        with pytest.raises(Unreachable, match="Permission denied"):
            fetch(folder)
    return [folder.name for folder in folders]


def test_a_folder_that_cannot_be_listed_is_named(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tree / "a" / "deep").mkdir()
    for name, shown in (("a", "in/a"), ("deep", "in/a/deep")):
        with monkeypatch.context() as patched:
            patched.setattr(os, "scandir", closed(os.scandir, name))
            for address in (tree, tree / "**", tree / "*", tree / "**" / "2.txt", f"file://{tree}"):
                assert unlisted(list_sources([str(address)], tree / "out")) == [shown]
            assert unlisted(list_sources([str(tree / "*.txt")], tree / "out")) == []  # for which nobody looks there


def test_a_remote_folder_that_cannot_be_listed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe({"/bucket/a/closed/x.txt": b"x", "/bucket/b.txt": b"b"})
    monkeypatch.setattr(MemoryFileSystem, "ls", closed(MemoryFileSystem.ls, "closed"))
    try:
        for address in ("memory://bucket", "memory://bucket/**"):
            assert names(address) == ["bucket/b.txt", "bucket/a/closed"]
            assert unlisted(list_sources([address], Path("/nowhere"))) == ["bucket/a/closed"]
    finally:
        memory.rm("/bucket", recursive=True)


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


def test_a_remote_file_gives_signs_of_life_while_it_is_fetched() -> None:
    memory = fsspec.filesystem("memory")
    content = os.urandom(3_500_000)
    memory.pipe("/bucket/large.txt", content)
    signs: list[None] = []
    try:
        with fetch(Source("memory://bucket/large.txt", "large.txt", len(content)), lambda: signs.append(None)) as file:
            assert file.read() == content
    finally:
        memory.rm("/bucket", recursive=True)
    assert len(signs) == 4  # one a megabyte
