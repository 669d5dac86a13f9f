"""Web pages: HTML to the lines of its article, and those around it.

Trafilatura knows where an article is, but joins the paragraphs of layout tables and leaves out headings and sentences
that stand twice. So it is asked only where the article begins and ends; the lines between are all kept, as the
page's block elements make them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from policy_topics.errors import DocumentError

SHORT_CELL = 100
"""Characters. A table row is one line if each cell is one line and no longer; other cells frame text, line by line."""

ANCHOR = 8
"""Characters, without spaces. A shorter line, such as `首页`, may be a part of any article: it must be a line of it."""

ABOVE = 5
"""Lines. The headline stands at most so far above an article: a date, a source and some buttons are between."""

_BLOCK = re.compile(
    "address|article|aside|blockquote|body|br|center|dd|details|dialog|div|dl|dt|fieldset|figcaption|figure|footer|form"
    "|h[1-6]|header|hr|legend|li|main|menu|nav|ol|p|pre|section|summary|table|tbody|td|tfoot|th|thead|tr|ul"
)
_UNSEEN = frozenset(
    {"script", "style", "noscript", "template", "head", "select", "svg", "iframe", "object", "rt", "rp"}
)
_HEADLINE = "h1"
_XML_DECLARATION = re.compile(r"^\ufeff?\s*<\?xml[^>]*\?>", re.I)
_SPACES = re.compile(r"\s+")
_TOO_DEEP = "elements are nested too deeply; save its text, without the page. 网页元素嵌套过深，请另存为纯文本。"
_CHINESE = re.compile("[\u2e80-\uffef]{2}")


def article_lines(page: str) -> tuple[list[str], list[str]]:
    """Lines of the article of a web page, and those around it. The whole page is the article where none is found.

    Raises:
        DocumentError: its elements are nested so deeply that a part of it could not be read.
    """
    # Imported here: both together take a fifth of a second.
    import trafilatura
    from lxml import etree, html

    page = _XML_DECLARATION.sub("", page).replace("\0", "")
    parser = html.HTMLParser(huge_tree=True)
    try:
        lines = _lines(html.document_fromstring(page, parser=parser))
    except (etree.ParserError, ValueError):
        lines = []
    except RecursionError:
        raise DocumentError(_TOO_DEEP) from None
    if any(fault.type == etree.ErrorTypes.ERR_RESOURCE_LIMIT for fault in parser.error_log):
        raise DocumentError(_TOO_DEEP)
    found = trafilatura.extract(page, favor_recall=True, include_tables=True, include_comments=False) or ""
    article, short = _compact(found), {_compact(line.removeprefix("- ")) for line in found.splitlines()}
    compact = [_compact(line) for line, _ in lines]
    inside = [n for n, line in enumerate(compact) if line in short or (len(line) >= ANCHOR and line in article)]
    whole = [line for line, _ in lines]
    if not inside:
        return whole, []
    first, end = inside[0], inside[-1] + 1
    headlines = [number for number in range(max(0, first - ABOVE), first) if lines[number][1]]
    start = min(headlines, default=first)
    return whole[start:end], whole[:start] + whole[end:]


def _lines(tree: Any) -> list[tuple[str, bool]]:
    """Lines of a page, each with whether it is its headline."""
    lines: list[tuple[str, bool]] = []
    pieces: list[str] = []
    for text, headline in [*_walk(tree), (None, False)]:
        if text is not None:
            pieces.append(text)
            continue
        line = _squeeze("".join(pieces))
        pieces.clear()
        if line:
            lines.append((line, headline))
    return lines


def _walk(element: Any) -> Iterator[tuple[str | None, bool]]:
    """Pieces of text; None where a line ends, with whether it was a headline."""
    tag = element.tag
    if not isinstance(tag, str) or tag in _UNSEEN:  # a comment has a function for a tag
        return
    if _BLOCK.fullmatch(tag):
        yield None, False
    if tag == "tr":
        yield from _row(element)
    else:
        yield from _within(element.text, tag)
        for child in element:
            yield from _walk(child)
            yield from _within(child.tail, tag)
    if _BLOCK.fullmatch(tag):
        yield None, tag == _HEADLINE


def _row(element: Any) -> Iterator[tuple[str | None, bool]]:
    cells = [_lines(cell) for cell in element]  # each is walked once, however deep tables are nested
    if all(len(cell) <= 1 and sum(len(line) for line, _ in cell) <= SHORT_CELL for cell in cells):
        yield " | ".join(line for cell in cells for line, _ in cell), False
        return
    for line, headline in (line for cell in cells for line in cell):
        yield line, False
        yield None, headline


def _within(text: str | None, tag: str) -> Iterator[tuple[str | None, bool]]:
    for number, line in enumerate((text or "").split("\n") if tag == "pre" else [text or ""]):
        if number:
            yield None, False
        yield line, False


def _squeeze(text: str) -> str:
    return _SPACES.sub(_space, text.strip())


def _space(run: re.Match[str]) -> str:
    # A line break of the source is no space between Chinese characters (CSS Text 3, 4.1.3).
    around = run.string[run.start() - 1] + run.string[run.end()]
    return "" if "\n" in run[0] and _CHINESE.match(around) else " "


def _compact(text: str) -> str:
    return _SPACES.sub("", text).replace("|", "")
