"""Cleaning: dirty Chinese text in, Simplified text with full-width punctuation out, every character traced.

The steps only replace one character by one character, or delete. So a character of the clean text comes from
exactly one character of the input, and `CleanText.origin` says which.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

import opencc

from policy_topics.boilerplate import is_boilerplate

HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
"""Han characters, as the inside of a regular expression's `[…]`."""

_UNPRINTABLE = re.compile(
    "\r(?=\n)|[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\ufe00-\ufe0f\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff\U000e0000-\U000e01ef]"
)

# Here and below, a pattern that begins with the very character that it looks for costs next to nothing where there is
# none; with looks behind first, three such patterns took a third of the time of cleaning.
_SPACES = re.compile(r" (?: *(?=\n)|(?<=\n ) *|(?<=  ) *)")
"""A run of spaces but its first; all spaces at either end of a line."""
_BLANK_LINES = re.compile(r"(?<=\n\n)\n+")

_BRACKETED = re.compile(r"[(（] ?([^\W\d_][\w\u0300-\u030c]{0,9}) ?[)）]")
_TONES = dict.fromkeys(map(ord, "\u0300\u0301\u0304\u0306\u030c"))  # grave, acute, macron, breve, caron
_LOOKALIKES = str.maketrans("ɑɡ", "ag")
_SYLLABLE = re.compile(
    r"(?:[zcs]h?|[bpmfdtnlgkhjqxrwy])?"
    r"(?:ai|an|ang|ao|a|ei|en|eng|er|e|ian|iang|iao|ia|ie|ing|in|iong|iu|i|ong|ou|o|uai|uan|uang|ua|ue|ui|un|uo|u|üe|ü)"
    r"|ê|m|ng?|hm|hng"
)
# Particles and suffixes that are read without a tone, each with how it is read. A bare syllable is a gloss only
# behind its own character: `(men)` behind 們, never `(ai)` behind any.
_READINGS = {
    "men": "們们", "me": "麼麽么", "ma": "嗎吗嘛", "le": "了", "de": "的地得", "zhe": "著着", "zi": "子", "ge": "個个",
    "ne": "呢", "ba": "吧", "a": "啊", "ya": "呀", "la": "啦", "tou": "頭头", "li": "裡裏里", "guo": "過过",
}  # fmt: skip
_TONELESS = {character: syllable for syllable, characters in _READINGS.items() for character in characters}

_BRACKETS = re.compile(r"[(（]([^()（）\n]{1,200})[)）]")
_HAN = re.compile(f"[{HAN}]")
_HALF_WIDTH = re.compile(r"[,;:?!()]+")
# `一.` numbers a heading.
_FULL_STOP = re.compile(rf"\.(?<=[{HAN}]\.)(?<![一二三四五六七八九十]\.)(?=[{HAN}”’）]|\s|$)")
# Neighbours that make half-width marks Chinese ones. `_widen` makes none of them but `）`, which stands in its own
# run of marks, so a second pass finds nothing more to do.
_BEFORE = re.compile(f"[{HAN}“”‘’《》〈〉【】、）]")
_AFTER = re.compile(f"[{HAN}“”‘’《》〈〉【】、]")
_FULL_WIDTH = str.maketrans(",;:?!()", "，；：？！（）")


@dataclass(frozen=True, slots=True)
class CleanText:
    """Clean text with its way back.

    Attributes:
        text: the clean text.
        origin: for each character of `text`, the index in the input of the character it comes from; rising.
        dropped: boilerplate lines that were left out, in their order, cleaned.
    """

    text: str
    origin: array[int]
    dropped: tuple[str, ...]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Offsets in the input of `text[start:end]`; `start < end`."""
        return self.origin[start], self.origin[end - 1] + 1


def clean(text: str) -> CleanText:
    """Clean a decoded text. Never raises; cleaning its own result changes nothing."""
    origin = array("L", range(len(text)))
    text, origin = _delete(text.translate(_compatible()), origin, _UNPRINTABLE.finditer(text))
    text, origin = _delete(text, origin, _SPACES.finditer(text))
    text, origin = _strip(text, origin)
    text, origin = _delete(text, origin, _glosses(text))
    text = _widen(simplify(text))
    boilerplate = list(_boilerplate_lines(text))
    dropped = tuple(line[0].strip() for line in boilerplate)
    text, origin = _delete(text, origin, boilerplate)
    text, origin = _delete(text, origin, _BLANK_LINES.finditer(text))
    text, origin = _strip(text, origin)
    return CleanText(text, origin, dropped)


# OpenCC leaves 著 as it is, for 著作 and 显著; its Taiwanese table makes 着 of it in 专著 and 卓著 too. These are the
# words of policy text in which it is always 着.
_PARTICLE = re.compile("著(?:(?<![名原专巨论译编拙]著)(?=[力眼手])|(?<=[沿随接朝向]著)|(?<=意味著)|(?<=围绕著))")


def simplify(text: str) -> str:
    """Traditional characters to Simplified, one for one (OpenCC t2s). `text` has no lone surrogates."""
    # A variant may become a character that is itself simplified further; nothing known takes more than three steps.
    for _ in range(4):
        simplified = _converter().convert(text)
        if len(simplified) != len(text):
            # A phrase of the dictionary changed the length: character by character keeps every offset.
            single = (_converter().convert(character) for character in text)
            simplified = "".join(new if len(new) == 1 else old for old, new in zip(text, single, strict=True))
        if simplified == text:
            break
        text = simplified
    return _PARTICLE.sub("着", text)


def _glosses(text: str) -> Iterator[re.Match[str]]:
    glossed, gloss_end = "", -1
    for bracket in _BRACKETED.finditer(text):
        if bracket.start() != gloss_end:  # a second gloss stands behind the same character as the first
            glossed = text[bracket.start() - 1 : bracket.start()]
        if _HAN.match(glossed) and _reads(glossed, bracket[1]):
            gloss_end = bracket.end()
            yield bracket


def _reads(character: str, letters: str) -> bool:
    """Whether `letters` are a toned syllable, or the toneless one that this character has."""
    decomposed = unicodedata.normalize("NFD", letters)
    bare = decomposed.translate(_TONES)
    if bare == decomposed:
        return _TONELESS.get(character) == letters
    return _SYLLABLE.fullmatch(unicodedata.normalize("NFC", bare.lower()).translate(_LOOKALIKES)) is not None


def _widen(text: str) -> str:
    """Half-width marks next to Chinese to full-width ones; a pair of brackets goes by what is in it."""
    text = _BRACKETS.sub(lambda pair: f"（{pair[1]}）" if _HAN.search(pair[1]) else pair[0], text)
    return _FULL_STOP.sub("。", _HALF_WIDTH.sub(_widen_run, text))


def _widen_run(run: re.Match[str]) -> str:
    marks, text = run[0], run.string
    # Chinese before it turns a run up to its first opening bracket, Chinese behind it from its last closing one on.
    head = len(marks.partition("(")[0]) if _BEFORE.match(text[run.start() - 1 : run.start()]) else 0
    tail = len(marks.rpartition(")")[2]) if _AFTER.match(text, run.end()) else 0
    kept = marks[head : max(head, len(marks) - tail)]
    return marks[:head].translate(_FULL_WIDTH) + kept + marks[head + len(kept) :].translate(_FULL_WIDTH)


def _delete(text: str, origin: array[int], matches: Iterable[re.Match[str]]) -> tuple[str, array[int]]:
    pieces, kept, position = [], array("L"), 0
    for match in matches:
        start, end = match.span()
        pieces.append(text[position:start])
        kept.extend(origin[position:start])
        position = end
    if not position:
        return text, origin
    pieces.append(text[position:])
    kept.extend(origin[position:])
    return "".join(pieces), kept


def _strip(text: str, origin: array[int]) -> tuple[str, array[int]]:
    start = len(text) - len(text.lstrip())
    stripped = text.strip()
    return stripped, origin[start : start + len(stripped)]


def _boilerplate_lines(text: str) -> Iterable[re.Match[str]]:
    return (line for line in re.finditer(r"[^\n]+\n?", text) if is_boilerplate(line[0].removesuffix("\n")))


@cache
def _converter() -> opencc.OpenCC:
    return opencc.OpenCC("t2s")


@cache
def _compatible() -> dict[int, str]:
    """NFKC where it is safe: full-width letters and digits, compatibility ideographs, radicals, odd spaces.

    Not touched: circled and bracketed numbers (`①` is no `1`), full-width punctuation, units such as `㎡`.
    """
    table = {ord(old): new for old, new in zip("「」『』﹁﹂―─", "“”‘’“”——", strict=True)}
    table |= {code: "\n" for code in (0x0B, 0x0C, 0x0D, 0x85, 0x2028, 0x2029)}
    spaces = [(0x09, 0x0A), (0xA0, 0xA1), (0x1680, 0x1681), (0x2000, 0x200B), (0x202F, 0x2030), (0x205F, 0x2060)]
    table |= {code: " " for first, last in [*spaces, (0x3000, 0x3001)] for code in range(first, last)}
    letters = [(0xFF10, 0xFF1A), (0xFF21, 0xFF3B), (0xFF41, 0xFF5B)]
    signs = [(ord(sign), ord(sign) + 1) for sign in "％．－＋／＝＜＞＆＠＃＊＿｜"]
    forms = [(0xFE10, 0xFE1A), (0xFE30, 0xFE41), (0xFE50, 0xFE6C), (0xFF61, 0xFF66)]  # vertical, small, half-width
    ideographs = [(0x2E80, 0x2FD6), (0xF900, 0xFB00), (0x2F800, 0x2FA20)]
    for first, last in letters + signs + forms + ideographs:
        for code in range(first, last):
            new = unicodedata.normalize("NFKC", chr(code))
            if len(new) == 1:
                table.setdefault(code, table.get(ord(new), new))
    return table
