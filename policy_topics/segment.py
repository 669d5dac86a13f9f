"""Segmentation: a document to its paragraphs, and a paragraph to its sentences.

1. A line is a paragraph, where the document has line breaks. Lines that a fixed width broke inside a sentence, as in
   the text of PDFs and e-mails, are joined again first (`_rejoin`).
2. A line that is the whole document, or longer than paragraphs are, has lost its line breaks. It is cut where they
   were (`_cut`): at spaces behind a sentence, at agenda turns, at list marks; and where it is still overlong, at ends
   of sentences. No cut is inside a sentence.
3. Pieces without a letter or digit, and boilerplate, are no paragraphs; they are returned as dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from policy_topics.boilerplate import is_boilerplate
from policy_topics.text import HAN, CleanText, clean

LONG_LINE = 400
"""Characters. In a document of several lines, a line up to this length is a paragraph as its author made it: nine in
ten paragraphs of policy documents and government reports are shorter."""

OVERLONG = 1200
"""Characters. Longer than 999 in 1000 paragraphs of the same texts: such a piece is cut at ends of sentences even where
no mark tells which."""

PIECE = 350
"""Characters that the parts of an overlong piece come near; an encoder reads them in one or two windows."""

SHORTEST_ITEM = 40
"""Characters. A shorter list item stays with its neighbour: it says too little to tell a topic by."""

SHORTEST_TURN = 10
"""Characters. The same for agenda turns and lost line breaks; `会议听取了信访工作情况汇报。` is an item of its own."""

NARROWEST_WRAP = 40
"""Half-width columns. Hardly any text is wrapped at fewer; most titles and slogans, alike in length, have fewer."""

WRAP_SLACK = 8
"""Half-width columns by which full lines differ: a paragraph's indent, and a word or mark that did not fit."""

_CLOSING = "”’）】》」』〉"
_CLOSED = rf"(?: ?[{_CLOSING}])*"
_SENTENCE_END = re.compile(
    rf"(?:[。！？][。！？!?]*|[!?](?=[\s{_CLOSING}{HAN}])|\.(?=\s+[A-Z{HAN}])){_CLOSED}\s*|\n\s*"
)

_NUMBER = "[一二三四五六七八九十]{1,3}"
_HEADING = (
    rf"（{_NUMBER}）|{_NUMBER}[、.]"
    r"|第[一二三四五六七八九十百零〇\d]{1,5}[编章节条](?![的所、和至或及]|第|规定|[一二三四五六七八九十\d]+[款项])"
)
_LIST_MARK = re.compile(
    rf"{_HEADING}|——|— —|--|{_NUMBER}[是要]|（\d{{1,2}}）|\d{{1,2}}[.、](?!\d)|[①-⑳⑴-⒛㈠-㈩]|(?P<half>\d{{1,2}}[)）])"
)
_OPENED = re.compile(r"(?:[（(][^（()）]*|第)$")

FARTHEST_BRACKET = 200
"""Characters in front of `1）` in which the bracket that it closes is looked for."""

# Where a line may be cut: behind 。！？； and its closing quotes; at a space that a heading follows.
_BOUNDARY = re.compile(
    rf"(?P<mark>[。！？；])[。！？；!?]*{_CLOSED}(?P<space> ?)|：?(?P<bare> )(?={_HEADING})|： (?=——)"
)

_TREATED = "传达|学习|研究|听取|审议|讨论|通报|审定|审查|评议|表决"
_SAID = "强调|指出|要求|认为|提出|号召|希望|决定"
_TURN = re.compile(
    "会议(?:首先|随后|最后|同时|还|并|集体|深入|认真|专题|书面|逐项|分别)*"
    rf"(?:{_TREATED}|原则(?:通过|同意)|通过(?=了|《|关于))(?!{_SAID})|会议还(?!{_SAID})"
)
_NEXT_ITEM = re.compile(rf"(?:还|并)?(?:{_TREATED}|通过)(?:通过)?(?:[^，。；]{{0,4}}了|《|关于)")

_FINISHED = re.compile(rf"[。！？!?…]{_CLOSED}$")
_PAUSED = re.compile(rf"[；：;:]{_CLOSED}$")
_GOES_ON = re.compile(r"[，、,“‘（《〈【(]$")
_CARRIES_ON = re.compile(rf"[，。、；：！？{_CLOSING}]")
_LATIN_WORDS = re.compile("[A-Za-z,.;][A-Za-z0-9]|[0-9][A-Za-z]")
_WIDE = re.compile("[\u1100-\u115f\u2010-\uffdc\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Paragraph:
    """One paragraph. `input[start:end]` is where it stood, `text` is it, clean; `index` counts from 0."""

    index: int
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Segmented:
    """A document's paragraphs in order, and what was left out: boilerplate lines, then pieces without a word."""

    paragraphs: tuple[Paragraph, ...]
    dropped: tuple[str, ...]


def paragraphs(text: str) -> Segmented:
    """Clean a decoded document and cut it into paragraphs. Never raises.

    Every Han character of the clean text is in exactly one paragraph or in `dropped`.
    """
    document = _rejoin(clean(text))
    lines = list(re.finditer(r"[^\n]+", document.text))
    only = sum(_speaks(line[0]) for line in lines) == 1
    found: list[Paragraph] = []
    dropped = list(document.dropped)
    for line in lines:
        cuts = _cut(line[0]) if only or len(line[0]) > LONG_LINE else []
        for start, end in pairwise([0, *cuts, len(line[0])]):
            piece = line[0][start:end].strip()
            if not _speaks(piece) or is_boilerplate(piece):
                dropped.append(piece)
                continue
            first = document.text.index(piece, line.start() + start)
            found.append(Paragraph(len(found), *document.span(first, first + len(piece)), piece))
    return Segmented(tuple(found), tuple(dropped))


def sentences(text: str) -> list[str]:
    """Split at ends of sentences and line breaks; the white space behind them stays. Joined, they are `text`."""
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    return [text[start:end] for start, end in pairwise([0, *ends, len(text)]) if end > start]


def _speaks(piece: str) -> bool:
    return any(map(str.isalnum, piece))


def _rejoin(document: CleanText) -> CleanText:
    """The document without those line breaks that stand inside a sentence."""
    lines = document.text.split("\n")
    width = _wrap_width(lines)
    pieces, origin, position = [lines[0]], document.origin[: len(lines[0])], len(lines[0])
    for above, below in pairwise(lines):
        if not _joins(above, below, width):
            link = "\n"
        elif _LATIN_WORDS.fullmatch(above[-1] + below[0]):
            link = " "
        else:
            link = ""
        pieces += [link, below]
        origin += document.origin[position + 1 - len(link) : position + 1 + len(below)]
        position += 1 + len(below)
    return CleanText("".join(pieces), origin, document.dropped)


def _joins(above: str, below: str, width: int | None) -> bool:
    """Whether the line break between two lines stands inside a sentence.

    It does where a mark says so, a comma before it or a full stop behind it; and in a text that was wrapped at `width`,
    where the upper line is full and ends no sentence, and the lower one begins no list item.
    """
    if not above or not below:
        return False
    if _CARRIES_ON.match(below):
        return True
    if _FINISHED.search(above) or _begins_item(above + below, len(above)):
        return False
    return _GOES_ON.search(above) is not None or (width is not None and width - WRAP_SLACK <= _columns(above) <= width)


def _begins_item(text: str, position: int) -> bool:
    """Whether a list mark stands at a position. `1）` is none behind 第, nor where it closes a bracket."""
    mark = _LIST_MARK.match(text, position)
    if mark is None or mark["half"] is None:
        return mark is not None
    return _OPENED.search(text, max(0, position - FARTHEST_BRACKET), position) is None


def _wrap_width(lines: list[str]) -> int | None:
    """The width in half-width columns at which a text was wrapped, None where it was not.

    It was, if most of the lines that break off inside a sentence are alike in width, and hardly any line is wider.
    One such line alone tells a wrapped sentence from a title by its comma.
    """
    widths = [_columns(line) for line in lines]
    broken_off = [
        (columns, line)
        for columns, (line, below) in zip(widths, pairwise(lines), strict=False)
        if columns >= NARROWEST_WRAP and below and not _FINISHED.search(line) and not _PAUSED.search(line)
    ]
    if not broken_off:
        return None
    counts = [0] * (max(widths) + WRAP_SLACK + 1)
    for columns, _ in broken_off:
        for wide in range(columns, columns + WRAP_SLACK + 1):
            counts[wide] += 1
    width = max(range(len(counts)), key=counts.__getitem__)
    wider = sum(columns > width for columns in widths)
    alike = counts[width] >= 2 or (len(broken_off) == 1 and "，" in broken_off[0][1])
    return width if alike and 2 * counts[width] >= len(broken_off) and 10 * wider <= len(lines) else None


def _columns(line: str) -> int:
    return len(line) + len(_WIDE.findall(line))


def _cut(line: str) -> list[int]:
    """Offsets at which a line that lost its line breaks is cut."""
    cuts: list[int] = []
    candidates = [*_candidates(line), (len(line), 0)]
    for (position, shortest), (following, _) in pairwise(candidates):
        last = cuts[-1] if cuts else 0
        if position - last >= shortest and _stands_alone(line[position:following].strip(), shortest):
            cuts.append(position)
    return [
        cut
        for start, end in pairwise([0, *cuts, len(line)])
        for cut in [*_even_cuts(line, start, end), end]
        if cut < len(line)
    ]


def _stands_alone(piece: str, shortest: int) -> bool:
    return len(piece) >= shortest or not _speaks(piece) or is_boilerplate(piece)


def _candidates(line: str) -> Iterator[tuple[int, int]]:
    """Offsets where a line may be cut, each with the length that the pieces on both sides must have."""
    in_agenda = _TURN.match(line) is not None
    for boundary in _BOUNDARY.finditer(line):
        position = boundary.end()
        turns = _TURN.match(line, position) is not None
        next_item = boundary["mark"] == "；" and in_agenda and _NEXT_ITEM.match(line, position) is not None
        if turns or next_item or boundary["space"]:
            yield position, SHORTEST_TURN
        elif boundary["mark"] is None or _begins_item(line, position):
            yield position, SHORTEST_ITEM
        if boundary["mark"] != "；" or turns:
            in_agenda = turns


def _even_cuts(line: str, start: int, end: int) -> Iterator[int]:
    """Cuts that part an overlong piece into pieces of about equal length, each of whole sentences."""
    if end - start <= OVERLONG:
        return
    target = (end - start) / round((end - start) / PIECE)
    position, edge = start, start + target
    for sentence in sentences(line[start:end]):
        middle = position + len(sentence) / 2
        if middle > edge and position > start:
            yield position
        while edge < middle:
            edge += target
        position += len(sentence)
