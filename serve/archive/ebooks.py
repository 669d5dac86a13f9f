"""EPUB: the chapters of an e-book to its text. An EPUB is a zip file of web pages and of a list that orders them
(EPUB 3.3, https://www.w3.org/TR/epub-33/)."""

from __future__ import annotations

import io
import posixpath
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from policy_topics.documents import LARGEST_UNPACKED
from policy_topics.encodings import decode
from serve.archive.faults import Bomb, Damaged, Encrypted

_MEDIA_TYPE = b"application/epub+zip"
_PAGES = {"application/xhtml+xml", "text/html"}
_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
_BLOCKS = (
    "address article aside blockquote body br caption dd div dl dt figcaption figure footer h1 h2 h3 h4 h5 h6 header "
    "hr li main nav ol p pre section table tbody td th thead tr ul"
)
_UNSEEN = ("head", "script", "style", "svg", "rt", "rp")  # rt: pinyin set above a character


def is_ebook(data: bytes) -> bool:
    """Whether a file is an EPUB: its first member is uncompressed and says so."""
    return data.startswith(b"PK\x03\x04") and _MEDIA_TYPE in data[:128]


def read_ebook(data: bytes) -> str:
    """The text of all chapters in their order, a line a paragraph.

    Raises:
        Damaged, Encrypted, Bomb: it cannot be read.
    """
    from lxml import etree

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as book:
            if sum(entry.file_size for entry in book.infolist()) > LARGEST_UNPACKED:
                raise Bomb(f"unpacks to over {LARGEST_UNPACKED} bytes; split it. 文件过大，请拆分。")
            return "\n".join(line for page in _chapters(book) for line in _lines(book.read(page)))
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, IndexError, ValueError, etree.LxmlError) as fault:
        raise Damaged(f"no whole EPUB ({fault}); save it again. EPUB 文件已损坏。") from fault
    except (RuntimeError, NotImplementedError) as fault:
        raise Encrypted(f"encrypted ({fault}); save it unencrypted. 文件已加密。") from fault


def _chapters(book: zipfile.ZipFile) -> Iterator[str]:
    """Paths of the pages in reading order: container.xml names the package, whose spine lists its items."""
    package = _xml(book.read(_CONTAINER)).xpath("//*[local-name()='rootfile']/@full-path")[0]
    tree = _xml(book.read(package))
    items = {item.get("id"): item for item in tree.xpath("//*[local-name()='manifest']/*[local-name()='item']")}
    locked = _locked(book)
    for reference in tree.xpath("//*[local-name()='spine']/*[local-name()='itemref']/@idref"):
        item = items[reference]
        if item.get("media-type") in _PAGES:
            path = posixpath.normpath(posixpath.join(posixpath.dirname(package), unquote(item.get("href"))))
            if path in locked:
                raise Encrypted("copy-protected; only an unprotected copy can be read. 文件有版权保护（DRM）。")
            yield path


def _locked(book: zipfile.ZipFile) -> set[str]:
    """Paths that are encrypted. Many books encrypt fonts alone, which stops nobody."""
    if _ENCRYPTION not in book.namelist():
        return set()
    references = _xml(book.read(_ENCRYPTION)).xpath("//*[local-name()='CipherReference']/@URI")
    return {unquote(str(path)) for path in references}


def _lines(page: bytes) -> list[str]:
    from lxml import etree, html

    text = decode(page)[0]
    if not text.strip():
        return []
    # lxml takes no text that declares its encoding.
    tree = html.document_fromstring(text.partition("?>")[2] if text.lstrip("\ufeff \n").startswith("<?xml") else text)
    etree.strip_elements(tree, *_UNSEEN, with_tail=False)
    for element in tree.iter(*_BLOCKS.split()):
        element.text = "\n" + (element.text or "").replace("\n", " ")
        element.tail = "\n" + (element.tail or "").replace("\n", " ")
    return [line.strip() for line in tree.text_content().splitlines() if line.strip()]


def _xml(data: bytes) -> Any:
    from lxml import etree

    return etree.fromstring(data, etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False))
