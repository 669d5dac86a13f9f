"""Archives for tests: files of every format, files broken in every way, and what reading them gives."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from configs.settings import load_settings
from policy_topics.tokeniser import Tokenised
from serve.archive.formats import Row
from serve.archive.inputs import Source
from serve.archive.reading import Chunk, Finished, Reader, SourceDone
from tests.test_documents import docx_file, pdf_file, web_page

FARMS = "会议强调，要推进高标准农田建设，守住耕地红线。"
SCHOOLS = "会议研究了教育工作，要加快补齐乡村学校短板。"
LINES = f"{FARMS}\n{SCHOOLS}\n"
RECORDS = [{"id": "a", "text": FARMS}, {"id": "b", "text": SCHOOLS}]
JSONL = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in RECORDS).encode()
CSV = f'id,text\na,"{FARMS}"\nb,"{SCHOOLS}"\n'.encode()


def parquet_file(columns: dict[str, list[str]]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


def ebook(encrypted: str = "") -> bytes:
    """Two chapters, whose order in the spine is not that of their names."""
    container = (
        '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
        '<rootfile full-path="OPS/book.opf"/></rootfiles></container>'
    )
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf"><manifest>'
        '<item id="b" href="1.xhtml" media-type="application/xhtml+xml"/>'
        '<item id="a" href="text/2.xhtml" media-type="application/xhtml+xml"/>'
        '<item id="c" href="style.css" media-type="text/css"/>'
        '</manifest><spine><itemref idref="a"/><itemref idref="b"/></spine></package>'
    )
    page = '<?xml version="1.0"?>\n<html xmlns="http://www.w3.org/1999/xhtml"><head><title>书名</title></head><body><p>{}</p></body></html>'
    members = {
        "META-INF/container.xml": container, "OPS/book.opf": package,
        "OPS/text/2.xhtml": page.format(FARMS), "OPS/1.xhtml": page.format(SCHOOLS),
    }  # fmt: skip
    if encrypted:
        members["META-INF/encryption.xml"] = f'<encryption><CipherReference URI="{encrypted}"/></encryption>'
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as book:
        book.writestr("mimetype", "application/epub+zip")
        for name, content in members.items():
            book.writestr(name, content)
    return file.getvalue()


def zip_file(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def encrypted_zip(members: dict[str, bytes]) -> bytes:
    """As a zip file with a password begins: each entry says that it is encrypted."""
    data = bytearray(zip_file(members, zipfile.ZIP_STORED))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        position = -1
        while (position := data.find(signature, position + 1)) >= 0:
            data[position + offset] |= 1
    return bytes(data)


def tar_file(
    members: dict[str, bytes], mode: str = "w", links: tuple[str, ...] = (), encoding: str | None = None
) -> bytes:
    """With an encoding: as programs wrote it before names were always UTF-8."""
    file = io.BytesIO()
    form = tarfile.GNU_FORMAT if encoding else tarfile.PAX_FORMAT
    with tarfile.open(fileobj=file, mode=mode, format=form, encoding=encoding) as archive:  # type: ignore[call-overload]
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        for name in links:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(entry)
    return file.getvalue()


def zstd(data: bytes) -> bytes:
    return bytes(pa.compress(data, "zstd", asbytes=True))


def bomb() -> bytes:
    """100 MiB of nothing."""
    return b"\0" * (100 << 20)


GOOD: dict[str, Callable[[], bytes]] = {
    "plain.txt": LINES.encode,
    "gb.txt": lambda: LINES.encode("gb18030"),
    "notes.md": LINES.encode,
    "page.html": lambda: web_page(f"<article><p>{FARMS}</p><p>{SCHOOLS}</p></article>"),
    "word.docx": lambda: docx_file(lambda document: [document.add_paragraph(line) for line in (FARMS, SCHOOLS)]),
    "print.pdf": lambda: pdf_file([[FARMS, SCHOOLS]]),
    "book.epub": ebook,
    "font.epub": lambda: ebook("OPS/font.otf"),
    "rows.csv": lambda: CSV,
    "rows.tsv": lambda: CSV.decode().replace(",", "\t").encode(),
    "excel.csv": lambda: b"\xef\xbb\xbf" + CSV.decode().replace(",", ";").encode(),
    "gb.csv": lambda: CSV.decode().encode("gb18030"),
    "bare.csv": lambda: CSV.decode().encode("utf-16-le"),
    "rows.jsonl": lambda: JSONL,
    "wide.jsonl": lambda: JSONL.decode().encode("utf-16"),
    "rows.parquet": lambda: parquet_file({"id": ["a", "b"], "text": [FARMS, SCHOOLS]}),
    "plain.txt.gz": lambda: gzip.compress(LINES.encode()),
    "plain.txt.zst": lambda: zstd(LINES.encode()),
    "rows.jsonl.gz": lambda: gzip.compress(JSONL),
    "rows.jsonl.zst": lambda: zstd(JSONL),
    "rows.csv.gz": lambda: gzip.compress(CSV),
    "rows.parquet.gz": lambda: gzip.compress(GOOD["rows.parquet"]()),
    "word.docx.gz": lambda: gzip.compress(GOOD["word.docx"]()),
}
"""Each holds the two paragraphs, and nothing else."""

BROKEN: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty.txt": (lambda: b"", "no_text"),
    "marks.txt": (lambda: "。。。！！——".encode(), "no_text"),
    "binary.txt": (lambda: b"\0\1\2\3" * 200, "unsupported_type"),
    "picture.png": (lambda: b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR", "unsupported_type"),
    "object.json": (lambda: b'{"text": "x"}', "unsupported_type"),
    "cut.docx": (lambda: GOOD["word.docx"]()[:2000], "unreadable_document"),
    "locked.pdf": (lambda: pdf_file([[FARMS]], password="1"), "unreadable_document"),
    "scanned.pdf": (lambda: pdf_file([[]]), "unreadable_document"),
    "old.doc": (lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "no_converter"),
    "locked.docx": (
        lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"),
        "encrypted",
    ),
    "cut.epub": (lambda: ebook()[:400], "damaged"),
    "locked.epub": (lambda: ebook("OPS/1.xhtml"), "encrypted"),
    "nameless.csv": (lambda: b"id,content\n1,abc\n", "missing_column"),
    "quote.csv": (lambda: 'id,text\n1,"没有结束的引号\n2,x\n'.encode(), "damaged"),
    "nameless.parquet": (lambda: parquet_file({"content": ["x"]}), "missing_column"),
    "cut.parquet": (lambda: GOOD["rows.parquet"]()[:-20], "damaged"),
    "none.jsonl": (lambda: b"\n\n", "no_text"),
    "cut.txt.gz": (lambda: gzip.compress(LINES.encode())[:-12], "damaged"),
    "cut.txt.zst": (lambda: zstd(LINES.encode())[:-9], "damaged"),
    "bomb.txt.gz": (lambda: gzip.compress(bomb()), "bomb"),
    "bomb.txt.zst": (lambda: zstd(bomb()), "bomb"),
    "cut.zip": (lambda: zip_file({"a.txt": LINES.encode()})[:-30], "damaged"),
    "cut.tar.gz": (lambda: tar_file({"a.txt": LINES.encode() * 900}, "w:gz")[:-200], "damaged"),
}
"""Files that cannot be read, each with the code that says why."""


@dataclass
class Read:
    """What reading a source gave."""

    rows: list[Row] = field(default_factory=list)
    finished: dict[str, Finished] = field(default_factory=dict)
    source: SourceDone | None = None

    @property
    def texts(self) -> list[str]:
        return [row.text for row in self.rows]

    @property
    def faults(self) -> dict[str, list[str]]:
        """Codes by input, where there are any."""
        return {name: [fault.code for fault in f.faults] for name, f in self.finished.items() if f.faults}


def read_source(address: str, name: str, characters: int = 5_000_000, done: int | None = 0) -> Read:
    """Read a source in this process; `done` rows of each input are said to be done."""
    limits = load_settings(flags={"archive.document_characters": characters}).archive
    reader = Reader(lambda *_: done, lambda texts: [Tokenised(((1,),)) for _ in texts], limits)
    found = Read()
    for message in reader.read(Source(address, name, 0)):
        if isinstance(message, Chunk):
            found.rows.extend(message.rows)
        elif isinstance(message, Finished):
            found.finished[message.name] = message
        elif isinstance(message, SourceDone):
            found.source = message
    return found


def read_bytes(folder: Path, name: str, data: bytes, characters: int = 5_000_000) -> Read:
    """Write a file, and read it."""
    (folder / name).write_bytes(data)
    return read_source(str(folder / name), name, characters)
