"""Uploaded files are read in processes of their own: whatever a file does to its reader, the service goes on."""

from __future__ import annotations

import asyncio
import io
import json
import os
import random
import signal
import sys
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from docx import Document as Docx
from reportlab.pdfgen.canvas import Canvas
from starlette.testclient import TestClient

from policy_topics.classifier import Classifier
from policy_topics.documents import read_document
from serve.app import create_app
from serve.child import Child
from serve.problems import Problem
from serve.uploads import pool as uploads
from serve.uploads.pool import Uploads
from tests.service import FARMING, problem, settings
from tests.test_api_faults import asking, until
from tests.test_documents import ARTICLE, web_page

MEGABYTE = 1024 * 1024
DOCUMENT = '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body>{}</w:body></w:document>'


def docx(*texts: str) -> bytes:
    word, file = Docx(), io.BytesIO()
    for text in texts:
        word.add_paragraph(text)
    word.save(file)
    return file.getvalue()


def docx_of(body: str) -> bytes:
    """A Word file with a body of one's own making."""
    made = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(docx(FARMING))) as whole,
        zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as changed,
    ):
        for name in whole.namelist():
            changed.writestr(name, DOCUMENT.format(body) if name == "word/document.xml" else whole.read(name))
    return made.getvalue()


def pdf(*pages: str) -> bytes:
    file = io.BytesIO()
    canvas = Canvas(file)
    for page in pages:
        canvas.drawString(72, 720, page)
        canvas.showPage()
    canvas.save()
    return file.getvalue()


def pdf_of(page: str) -> bytes:
    """A PDF with a page object of one's own making, and no table of where its objects are."""
    objects = "1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj 3 0 obj"
    return f"%PDF-1.7\n{objects}{page}endobj trailer<</Root 1 0 R>>\n%%EOF".encode("latin-1")


NEWS = web_page(ARTICLE)
PORTAL = web_page("".join(f"<p>第{n}条链接</p>" for n in range(5000)) + ARTICLE)
"""With more around its article than a head may hold."""


def noise(length: int) -> bytes:
    return random.Random(length).randbytes(length)


HOSTILE: dict[str, Callable[[], bytes]] = {
    "bomb.docx": lambda: docx_of("<w:p/>" * 2_000_000),
    "large.docx": lambda: docx_of(" " * 300_000_000),
    "deep.docx": lambda: docx_of("<w:tbl><w:tr><w:tc>" * 50_000),
    "cut.docx": lambda: docx(FARMING)[:-200],
    "empty.docx": lambda: b"PK\x05\x06" + bytes(18),
    "deep.pdf": lambda: pdf_of("<</Type/Page/Parent 2 0 R/MediaBox" + "[" * 500_000),
    "circle.pdf": lambda: pdf_of("<</Type/Pages/Parent 2 0 R/Kids[2 0 R]/Count 999999999>>"),
    "cut.pdf": lambda: pdf("text")[:300],
    "noise.pdf": lambda: b"%PDF-1.7\n" + noise(100_000),
    "noise.docx": lambda: b"PK\x03\x04" + noise(100_000),
}


@asynccontextmanager
async def reading(**serve: object) -> AsyncIterator[Uploads]:
    ours = Uploads(settings(**serve).serve)
    ours.start()
    try:
        yield ours
    finally:
        ours.close()


def scene(play: Callable[[Uploads], Awaitable[None]], **serve: object) -> None:
    async def whole() -> None:
        async with reading(**serve) as ours:
            await play(ours)

    asyncio.run(whole())


async def pid_of_the_idle(ours: Uploads) -> int:
    """The process that has read one file and will read the next."""
    await ours.read(b"a", "a.txt")
    await until(lambda: len(ours._idle) == 1)
    return ours._idle[0].child.pid


class TestReading:
    @pytest.mark.parametrize(
        ("name", "data"),
        [
            ("通知.txt", FARMING.encode("gb18030")),
            ("通知.md", FARMING.encode()),
            ("page.html", f"<html><body><p>{FARMING}</p></body></html>".encode()),
            ("会议.docx", docx(FARMING, "🚀")),
            ("report.pdf", pdf("first page", "second page")),
            ("half.pdf", pdf("first page", "")),
            ("news.html", NEWS),
            ("portal.html", PORTAL),
            ("empty.txt", b""),
        ],
    )
    def test_a_file_reads_as_it_does_in_the_library(self, name: str, data: bytes) -> None:
        async def play(ours: Uploads) -> None:
            assert await ours.read(data, name) == read_document(data, name)

        scene(play)

    def test_one_process_reads_one_file_after_another(self) -> None:
        async def play(ours: Uploads) -> None:
            assert await pid_of_the_idle(ours) == await pid_of_the_idle(ours)

        scene(play)

    def test_after_many_files_another_takes_its_place(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(uploads, "FILES", 2)

        async def play(ours: Uploads) -> None:
            pids = [await pid_of_the_idle(ours) for _ in range(4)]
            assert pids[0] != pids[1] == pids[2] != pids[3]  # the idle one after the second file is the next one

        scene(play)

    def test_too_long_a_document_is_refused_in_the_process(self) -> None:
        async def play(ours: Uploads) -> None:
            assert len((await ours.read("粮".encode() * 100, "a.txt")).text) == 100
            with pytest.raises(Problem, match="101 characters"):
                await ours.read("粮".encode() * 101, "a.txt")
            with pytest.raises(Problem, match="more than 100"):
                await ours.read(PORTAL, "portal.html")

        scene(play, max_document_characters=100)

    def test_what_is_remarked_on_a_file_is_not_on_standard_error(self, capfd: pytest.CaptureFixture[str]) -> None:
        async def play(ours: Uploads) -> None:
            assert (await ours.read(pdf("first page", ""), "机密.pdf")).remarks

        scene(play)
        assert capfd.readouterr().err == ""


class TestHostileFiles:
    @pytest.mark.timeout(120)
    def test_each_is_refused_by_name_and_the_next_file_is_read(self) -> None:
        async def play(ours: Uploads) -> None:
            for name, make in HOSTILE.items():
                with pytest.raises(Problem) as refused:
                    await ours.read(make(), name)
                assert refused.value.body["code"] in ("unreadable_document", "unsupported_type"), name
                assert name in refused.value.body["detail"] and name in refused.value.body["detail_zh"]
                assert (await ours.read(FARMING.encode(), "good.txt")).text == FARMING

        scene(play, upload_memory_bytes=100 * MEGABYTE)

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps to the limit")
    def test_a_file_that_takes_too_much_memory_is_told_so(self) -> None:
        async def play(ours: Uploads) -> None:
            with pytest.raises(Problem, match=r"bytes of memory.*serve\.upload_memory_bytes"):
                await ours.read(b"a" * 40 * MEGABYTE, "large.txt")
            assert (await ours.read(FARMING.encode(), "good.txt")).text == FARMING

        scene(play, upload_memory_bytes=20 * MEGABYTE)

    def test_a_file_that_takes_too_long_is_told_so(self) -> None:
        async def play(ours: Uploads) -> None:
            os.kill(await pid_of_the_idle(ours), signal.SIGSTOP)
            with pytest.raises(Problem, match=r"within 1 s \(serve\.upload_seconds\)"):
                await ours.read(b"a", "slow.pdf")
            assert (await ours.read(FARMING.encode(), "good.txt")).text == FARMING

        scene(play, upload_seconds=1)

    def test_a_killed_reader_fails_its_own_file_alone(self) -> None:
        async def play(ours: Uploads) -> None:
            pid = await pid_of_the_idle(ours)
            os.kill(pid, signal.SIGSTOP)
            hit = asyncio.create_task(ours.read(b"a", "hit.pdf"))
            await until(lambda: not ours._idle)
            beside = asyncio.create_task(ours.read(FARMING.encode(), "beside.txt"))
            await asyncio.wait((hit, beside), return_when=asyncio.FIRST_COMPLETED)
            assert beside.done() and not hit.done()
            os.kill(pid, signal.SIGKILL)
            with pytest.raises(Problem, match=r"hit\.pdf: its reader crashed \(signal SIGKILL\)"):
                await hit
            assert (await beside).text == FARMING
            assert (await ours.read(FARMING.encode(), "next.txt")).text == FARMING

        scene(play)

    def test_a_reader_killed_while_it_has_nothing_to_do_is_no_files_fault(self) -> None:
        async def play(ours: Uploads) -> None:
            os.kill(await pid_of_the_idle(ours), signal.SIGKILL)
            await until(lambda: not ours._idle[0].child.alive)
            assert (await ours.read(FARMING.encode(), "good.txt")).text == FARMING

        scene(play)

    def test_a_client_that_leaves_takes_its_file_along(self) -> None:
        async def play(ours: Uploads) -> None:
            pid = await pid_of_the_idle(ours)
            reader = ours._idle[0].child
            os.kill(pid, signal.SIGSTOP)
            gone = asyncio.create_task(ours.read(b"a", "gone.pdf"))
            await until(lambda: not ours._idle)
            gone.cancel()
            with pytest.raises(asyncio.CancelledError):
                await gone
            await until(lambda: not reader.alive)
            for _ in range(2 * uploads.READERS):
                assert (await ours.read(FARMING.encode(), "good.txt")).text == FARMING

        scene(play)

    def test_too_many_files_that_wait_get_429(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(uploads, "MOST_WAITING", 3)

        async def play(ours: Uploads) -> None:
            files = [ours.read(FARMING.encode(), "a.txt") for _ in range(uploads.READERS + 3 + 2)]
            answers = await asyncio.gather(*files, return_exceptions=True)
            refused = [answer for answer in answers if isinstance(answer, Problem)]
            assert [(each.status, each.headers["Retry-After"]) for each in refused] == [(429, "1")] * 2
            assert (await ours.read(FARMING.encode(), "good.txt")).text == FARMING

        scene(play)


class TestProcess:
    def test_it_ends_with_the_server(self) -> None:
        child = Child("serve.uploads.reader", "100", str(MEGABYTE), "10")
        child.ready()
        child._connection.close()
        assert child._process.wait(60) == 0
        child.stop()

    def test_a_termination_of_the_whole_service_lets_it_finish_what_the_server_has_taken(self) -> None:
        child = Child("serve.uploads.reader", "100", str(400 * MEGABYTE), "10")
        child.ready()
        os.kill(child.pid, signal.SIGTERM)
        for part in (b"a.txt", FARMING.encode()):
            child.send(part)
        assert json.loads(child.receive(20))["outcome"] == "read"
        assert child.receive(20).decode() == FARMING
        child.stop()

    def test_one_that_does_not_start_is_named(self) -> None:
        with pytest.raises(RuntimeError, match="no_such_module"):
            Child("serve.no_such_module").ready()

    @pytest.mark.skipif(sys.platform != "linux", reason="/proc")
    def test_it_does_not_have_the_settings_which_may_hold_passwords(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("POLICY_TOPICS_SECRET", "geheim")
        child = Child("serve.uploads.reader", "100", str(MEGABYTE), "10")
        child.ready()
        assert b"geheim" not in Path(f"/proc/{child.pid}/environ").read_bytes()
        child.stop()


class TestService:
    def test_a_hostile_file_is_a_422_and_others_are_answered_meanwhile(self, classifier: Classifier) -> None:
        async def play() -> None:
            app = create_app(settings(upload_memory_bytes=100 * MEGABYTE), lambda: classifier)
            async with asking(app) as ask:
                bomb = {"file": ("bomb.docx", docx_of("<w:p/>" * 2_000_000))}
                hit = asyncio.create_task(ask.post("/classify_document", files=bomb))
                good = [ask.post("/classify_document", files={"file": ("a.txt", FARMING.encode())}) for _ in range(8)]
                assert {answer.status_code for answer in await asyncio.gather(*good)} == {200}
                assert "bomb.docx" in problem(await hit, 422, "unreadable_document")["detail"]

        asyncio.run(play())

    @pytest.mark.parametrize("path", ["/classify_document", "/read_document"])
    def test_pages_that_were_not_read_are_told(self, client: TestClient, path: str) -> None:
        answer = client.post(path, files={"file": ("half.pdf", pdf("first page", ""))})
        assert answer.status_code == 200
        (remark,) = answer.json()["document"]["remarks"]
        assert "no text on page(s) 2" in remark and "没有文字" in remark

    @pytest.mark.parametrize("path", ["/classify_document", "/read_document"])
    def test_the_lines_around_the_article_of_a_web_page_are_told(self, client: TestClient, path: str) -> None:
        answer = client.post(path, files={"file": ("news.html", NEWS)}).json()
        assert answer["dropped"] == ["首页", "政务公开", "办事服务", "联系我们"]
        assert answer["document"]["remarks"] == []

    def test_a_file_of_another_type_is_still_a_415(self, client: TestClient) -> None:
        answer = client.post("/classify_document", files={"file": ("a.png", b"\x89PNG\r\n\x1a\n")})
        assert "OCR" in problem(answer, 415, "unsupported_type")["detail"]
