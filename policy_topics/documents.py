"""Documents: bytes of a file to its text, one line a paragraph where the file's format knows paragraphs.

What a file is, its first bytes say; its name is asked only where they do not. The readers of the formats are imported
where they are used: together they take a third of a second, which no command should wait for that reads plain text.
"""

from __future__ import annotations

import io
import re
import threading
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from policy_topics.encodings import decode
from policy_topics.errors import DocumentError, UnsupportedDocument
from policy_topics.webpage import article_lines

__all__ = ["Document", "decode", "read_document"]

LARGEST_UNPACKED = 256 * 1024 * 1024
"""Bytes. A .docx that unpacks to more is refused: it is made to fill the memory."""

SHORT_CELL = 100
"""Characters. A table row is one line if each cell is one line and no longer; other cells frame text, line by line."""

MOST_PAGES = 200
"""Pages without text that a remark names; it counts the rest."""

_pdfium = threading.Lock()  # PDFium may not be called from two threads at once


@dataclass(frozen=True, slots=True)
class Document:
    """A document that was read.

    Attributes:
        name: the file's name, as it was given.
        text: its text, not yet cleaned.
        media_type: what it was read as.
        encoding: of a text file, how its bytes were read; None for formats that say so themselves.
        remarks: for people, what could not be read of it, such as scanned pages.
        dropped: lines of a web page around its article, which are not in `text`.
    """

    name: str
    text: str
    media_type: str
    encoding: str | None
    remarks: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()


def read_document(data: bytes, name: str) -> Document:
    """Read a TXT, Markdown, HTML, DOCX or PDF file.

    Raises:
        UnsupportedDocument: a file of another type.
        DocumentError: a file that is damaged, encrypted or without text; the message says what to do.
    """
    if not data:
        return Document(name, "", "text/plain", None)
    kind, suffix = _kind(data), PurePath(name).suffix.lower()
    if kind in _UNSUPPORTED:
        raise UnsupportedDocument(f"{name}: {_UNSUPPORTED[kind]}")
    if kind == "zip":
        return Document(name, _read_docx(data, name), _DOCX, None)
    if kind == "pdf":
        text, remarks = _read_pdf(data, name)
        return Document(name, text, "application/pdf", None, remarks)
    if suffix in (".docx", ".pdf"):
        raise DocumentError(
            f"{name}: this is no {suffix[1:].upper()} file, or a damaged one; save it again. 文件已损坏，请重新保存。"
        )
    try:
        text, encoding = decode(data)
    except UnsupportedDocument as fault:
        raise UnsupportedDocument(f"{name}: {fault}") from None
    if suffix in (".html", ".htm") or _HTML.match(text):
        try:
            article, around = article_lines(text)
        except DocumentError as fault:
            raise DocumentError(f"{name}: {fault}") from None
        return Document(name, "\n".join(article), "text/html", encoding, dropped=tuple(around))
    return Document(name, text, "text/markdown" if suffix == ".md" else "text/plain", encoding)


_DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_HTML = re.compile(r"\ufeff?\s*(?>(?:<\?xml[^>]*>|<!--.*?-->)\s*)*+<(?:!doctype\s+html|html|head|body)\b", re.I | re.S)
_MAGIC = (
    (b"PK\x03\x04", "zip"), (b"PK\x05\x06", "zip"), (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "ole"), (b"{\\rtf", "rtf"),
    (b"\x89PNG", "image"), (b"\xff\xd8\xff", "image"), (b"GIF8", "image"), (b"II*\0", "image"), (b"MM\0*", "image"),
    (b"RIFF", "image"), (b"\x1f\x8b", "archive"), (b"7z\xbc\xaf", "archive"), (b"Rar!", "archive"),
)  # fmt: skip
_UNSUPPORTED = {
    "ole": "an old Office file (.doc, .xls), or an encrypted one; save it as .docx without a password. "
    "不支持旧版或加密的 Office 文件，请另存为未加密的 .docx。",
    "rtf": "an RTF file; save it as .docx. 不支持 RTF 文件，请另存为 .docx。",
    "image": "an image; turn it into text first (OCR). 不支持图片，请先进行文字识别（OCR）。",
    "archive": "a compressed archive; unpack it first. 不支持压缩包，请先解压。",
}


def _kind(data: bytes) -> str | None:
    if b"%PDF-" in data[:1024]:
        return "pdf"
    return next((kind for magic, kind in _MAGIC if data.startswith(magic)), None)


def _read_docx(data: bytes, name: str) -> str:
    import docx
    from lxml.etree import LxmlError

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as package:
            files = {entry.filename: entry.file_size for entry in package.infolist()}
    except zipfile.BadZipFile as fault:
        raise DocumentError(f"{name}: damaged file ({fault}); save it again. 文件已损坏，请重新保存。") from fault
    if "word/document.xml" not in files:
        what = "an Excel workbook" if "xl/workbook.xml" in files else "no Word document but another kind of zip file"
        raise UnsupportedDocument(
            f"{name}: {what}; send TXT, HTML, DOCX or PDF (or a table as CSV to be scored). "
            "不支持此类文件，请使用 TXT、HTML、DOCX 或 PDF。"
        )
    if sum(files.values()) > LARGEST_UNPACKED:
        raise DocumentError(f"{name}: unpacks to over {LARGEST_UNPACKED} bytes; split it. 文件过大，请拆分。")
    try:
        body = docx.Document(io.BytesIO(data)).element.body
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, LxmlError, NotImplementedError) as fault:
        raise DocumentError(f"{name}: damaged file ({fault}); save it again. 文件已损坏，请重新保存。") from fault
    return "\n".join(_docx_lines(body))


_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_SPACING = {f"{_W}tab": "\t", f"{_W}br": "\n", f"{_W}cr": "\n", f"{_W}noBreakHyphen": "-"}
# The same text box once more, the place that text was moved from, and pinyin set above a character.
_UNSEEN = {"{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback", f"{_W}moveFrom", f"{_W}rt"}


def _docx_lines(element: Any) -> Iterator[str]:
    """Lines of an element in the order of the document: paragraphs, rows of tables, content controls, text boxes."""
    for child in element:
        if child.tag == f"{_W}p":
            yield "".join(_docx_text(child))
            yield from _docx_boxes(child)
        elif child.tag == f"{_W}tr":
            cells = [text for cell in child if (text := "\n".join(_docx_lines(cell)).strip())]
            yield (" | " if all(len(cell) <= SHORT_CELL and "\n" not in cell for cell in cells) else "\n").join(cells)
        elif child.tag not in _UNSEEN:
            yield from _docx_lines(child)


def _docx_text(element: Any) -> Iterator[str]:
    for child in element:
        if child.tag == f"{_W}t":
            yield child.text or ""
        elif child.tag in _SPACING:
            yield _SPACING[child.tag]
        elif child.tag != f"{_W}txbxContent" and child.tag not in _UNSEEN:
            yield from _docx_text(child)


def _docx_boxes(element: Any) -> Iterator[str]:
    for child in element:
        if child.tag == f"{_W}txbxContent":
            yield from _docx_lines(child)
        elif child.tag not in _UNSEEN:
            yield from _docx_boxes(child)


def _read_pdf(data: bytes, name: str) -> tuple[str, tuple[str, ...]]:
    """The text of a PDF, and what there is to remark."""
    import pypdfium2

    with _pdfium:
        try:
            with pypdfium2.PdfDocument(data) as pdf:
                pages = [page.get_textpage().get_text_range() for page in pdf]
        except pypdfium2.PdfiumError as fault:
            if "password" in str(fault).lower():
                raise DocumentError(f"{name}: encrypted; save it unencrypted. 文件已加密，请去除密码。") from fault
            raise DocumentError(f"{name}: damaged PDF ({fault}); save it again. PDF 已损坏，请重新保存。") from fault
    silent = [number for number, page in enumerate(pages, 1) if not any(map(str.isalnum, page))]
    if len(silent) == len(pages):
        raise DocumentError(
            f"{name}: no text on its {len(pages)} pages, so they are probably scanned; run OCR on it first. "
            "没有文字层（可能是扫描件），请先进行文字识别（OCR）。"
        )
    return "\n".join(pages), (_unread(silent),) if silent else ()


def _unread(pages: list[int]) -> str:
    more = len(pages) - MOST_PAGES
    named = ", ".join(map(str, pages[:MOST_PAGES])) + (f" and {more} more" if more > 0 else "")
    return (
        f"no text on page(s) {named}; scanned pages are not read. "
        "这些页没有文字层（可能是扫描件），未读取，请先进行文字识别（OCR）。"
    )
