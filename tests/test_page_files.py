"""The page's files: what is served, and what may not stand in them. What the page does is in tests/test_page*.py."""

from __future__ import annotations

import io
import re

import pytest
from starlette.testclient import TestClient

from serve.page_files import FOLDER, MEDIA_TYPES
from tests.service import DIGITAL, FARMING, problem

FILES = sorted(file.name for file in FOLDER.iterdir())
SCRIPTS = {file.name: file.read_text("utf-8") for file in FOLDER.glob("*.js")}
HTML = (FOLDER / "index.html").read_text("utf-8")
NAMESPACES = ("http://www.w3.org/2000/svg", "http://schemas.openxmlformats.org/")


def strings() -> dict[str, dict[str, str]]:
    """The texts of both languages by key."""
    chinese, english = SCRIPTS["strings.js"].split("\n  en: {\n")
    pairs = re.compile(r'^    (\w+):\s+"((?:[^"\\]|\\.)*)",$', re.MULTILINE)
    return {"zh": dict(pairs.findall(chinese)), "en": dict(pairs.findall(english))}


@pytest.mark.parametrize("name", FILES)
def test_each_file_is_served_as_what_it_is(client: TestClient, name: str) -> None:
    answer = client.get(f"/page/{name}")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(MEDIA_TYPES[FOLDER.joinpath(name).suffix])
    assert answer.content == FOLDER.joinpath(name).read_bytes()


@pytest.mark.parametrize("asked", ["bytes=0-3", "bytes=99999999-", "bytes=a", "x"])
@pytest.mark.parametrize(("path", "name"), [("/", "index.html"), ("/page/main.js", "main.js")])
def test_a_file_is_served_whole_whatever_range_is_asked_for(
    client: TestClient, path: str, name: str, asked: str
) -> None:
    answer = client.get(path, headers={"Range": asked})
    assert answer.status_code == 200 and answer.content == FOLDER.joinpath(name).read_bytes()


@pytest.mark.parametrize("path", ["nothing.js", "..%2Fapi.py", "%2Fetc%2Fpasswd", ".", "index.html%00", "a/b.js"])
def test_nothing_else_is(client: TestClient, path: str) -> None:
    problem(client.get(f"/page/{path}"), 404, "not_found")


def test_a_file_is_only_read(client: TestClient) -> None:
    assert problem(client.post("/page/main.js"), 405, "method_not_allowed")
    assert client.head("/page/main.js").status_code == 200


def test_what_the_page_asks_for_is_there(client: TestClient) -> None:
    asked = re.findall(r'(?:href|src)="(page/[^"]+)"', HTML)
    asked += [f"page/{name}" for script in SCRIPTS.values() for name in re.findall(r'from "\./([^"]+)"', script)]
    assert {"page/main.js", "page/page.css", "page/docx.js"} <= set(asked)
    for path in set(asked):
        assert client.get(f"/{path}").status_code == 200, path


def test_it_has_no_inline_script_or_style_and_names_no_other_host() -> None:
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", HTML) == []
    for name in FILES:
        for address in re.findall(r"\w+://[^\s\"'`}]*", FOLDER.joinpath(name).read_text("utf-8")):
            assert address.startswith(NAMESPACES), f"{name}: {address}"


def test_text_is_never_put_in_as_html() -> None:
    for name, script in SCRIPTS.items():
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", script), (
            name
        )


def test_both_languages_say_everything_with_the_same_places() -> None:
    said = strings()
    assert said["zh"].keys() == said["en"].keys() and len(said["zh"]) > 80
    for key, chinese in said["zh"].items():
        places = set(re.findall(r"\{(\w+)\}", chinese))
        assert places == set(re.findall(r"\{(\w+)\}", said["en"][key])), key


def test_every_text_that_is_asked_for_is_there() -> None:
    known = strings()["zh"].keys()
    asked = set(re.findall(r'data-t(?:-\w+)?="(\w+)"', HTML))
    for script in SCRIPTS.values():
        asked |= set(re.findall(r'\bt\("(\w+)"', script))
        asked |= set(re.findall(r'(?:\bt|label|placeholder|title|text): \["(\w+)"', script))
        asked |= set(re.findall(r'\bstatus\(\["(\w+)"', script))
    assert len(asked) > 70
    assert asked <= known, asked - known


class TestReadDocument:
    def test_it_gives_the_text_that_offsets_are_offsets_in(self, client: TestClient) -> None:
        data = f"會議(huì yì)紀要\r\n{FARMING}\r\n{DIGITAL}".encode("gb18030")
        read = client.post("/read_document", files={"file": ("纪要.txt", io.BytesIO(data))}).json()
        about = {"name": "纪要.txt", "media_type": "text/plain", "encoding": "gb18030", "remarks": []}
        assert (read["document"], read["dropped"]) == (about, [])
        whole = client.post("/classify_document", files={"file": ("纪要.txt", io.BytesIO(data))}).json()
        assert [read["text"][result["start"] : result["end"]] for result in whole["results"]][1:] == [FARMING, DIGITAL]

    def test_it_refuses_what_classify_document_refuses(self, client: TestClient, small: TestClient) -> None:
        problem(client.post("/read_document", content=b"x"), 415, "unsupported_type")
        problem(client.post("/read_document", files={"file": ("a.docx", b"PK\x03\x04")}), 422, "unreadable_document")
        problem(small.post("/read_document", json={"text": "粮" * 121}), 413, "too_large")
