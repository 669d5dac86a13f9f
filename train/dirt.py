"""Dirt: what conversion, scraping and scanning do to Chinese text, done on purpose.

For measuring how a bundle stands dirty text, and for dirty copies of training paragraphs. Each kind of dirt is a
function of a text and a source of chance; `KINDS` names them, `mix` lays several on one text, `soil` fixes the chance.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from random import Random
from string import ascii_letters, digits

import opencc

from policy_topics.text import HAN, simplify

Dirt = Callable[[str, Random], str]

OCR_RATE = 0.01
"""Share of the characters that a scan of middling quality reads wrongly."""

_GLOSSED_KINDS = 0.3
"""Share of the converted characters that a page glosses which glosses some of them; each of them wherever it stands."""
_BROKEN_SENTENCES = 0.5
"""Share of the sentences with a space or line break behind them."""
_SPACED_GAPS = 0.05
"""Share of the gaps between two Han characters with a space in them."""

_HALF_WIDTH = str.maketrans("，；：？！（）", ",;:?!()")
_FULL_WIDTH = {code: code + 0xFEE0 for code in map(ord, digits + ascii_letters)}
_HAN = re.compile(f"[{HAN}]")
_GAP = re.compile(f"(?<=[{HAN}])(?=[{HAN}])")
_SENTENCE_END = re.compile(r"(?<=[。！？；])(?![。！？；”’）\s]|$)")

# Characters alike in shape; each may be read as any other of its group.
_GROUPS = """
    未末 己已巳 日曰 士土 人入八 千干于 大太犬 天夭无 目且 白自 田由甲 午牛 刀力 万方 木本术 今令 冶治 折拆析 拔拨
    往住佳 侯候 竟竞 辨辩 幕慕 密蜜 场扬杨 活话 清请情 晴睛 帐账 历厉 厂广 设没 仓仑 抢抡 团困因 民氏 代伐 休体 仟任
    货贷贸 责贵 准淮 江汪 料科 季李 要耍 洒酒 免兔 鸟乌 部陪 培倍 徒徙 侍待特持 具县真 值植 抗杭坑 技枝 哀衰衷 推椎摧
    借惜措 提堤 摸模 限很 戊戌戍成 我找 勾匀 旬句 问间 岗冈 内肉 第弟 篮蓝 簿薄 籍藉 菜莱 草革 予子 育盲 宜宣 官宫
    史吏 使便 古右石 处外 各名 勿匆 昌冒 重量童 理埋 钱线 经径轻 续绩 织识积 级圾 粗租组 担但坦 检捡险 微徽 陕峡 遣遗
    撤撒 0O 1l
"""
LOOKALIKES = {character: group.replace(character, "") for group in _GROUPS.split() for character in group}
"""Each character with those that it may be misread as."""


def ocr(text: str, rng: Random, rate: float = OCR_RATE) -> str:
    """Characters misread as ones alike in shape: the share `rate` of all characters, where so many have a lookalike."""
    places = [place for place, character in enumerate(text) if character in LOOKALIKES]
    count = int(rate * len(text) + rng.random())  # on average `rate`, for short texts too
    characters = list(text)
    for place in rng.sample(places, min(count, len(places))):
        characters[place] = rng.choice(LOOKALIKES[text[place]])
    return "".join(characters)


def full_width(text: str, _: Random) -> str:
    """Full-width digits and Latin letters."""
    return text.translate(_FULL_WIDTH)


def lost_spaces(text: str, _: Random) -> str:
    """No spaces and line breaks."""
    return re.sub(r"\s+", "", text)


def traditional(text: str, _: Random) -> str:
    """Traditional characters (OpenCC s2t)."""
    converted: str = _converter().convert(text)
    return converted


def sentence_breaks(text: str, rng: Random) -> str:
    """Spaces and line breaks behind some sentences."""
    return _insert(text, _SENTENCE_END, _BROKEN_SENTENCES, (" ", "\u3000\u3000", "\n", "\r\n\u3000\u3000"), rng)


def inner_spaces(text: str, rng: Random) -> str:
    """Spaces between some Han characters."""
    return _insert(text, _GAP, _SPACED_GAPS, (" ", "\u3000", "\xa0"), rng)


def half_width(text: str, rng: Random) -> str:
    """Half-width punctuation; on every other page full stops and quotation marks, too."""
    text = text.translate(_HALF_WIDTH)
    text = text.replace("。", rng.choice("。."))
    return re.sub("[“”]", '"', text) if rng.random() < 0.5 else text


def glossed(text: str, rng: Random) -> str:
    """Traditional characters with pinyin behind some of them: `學(xué)習(xí)`.

    A page glosses some of the converted characters, as most such pages do, or all with several readings, or all. Each
    has the same reading wherever it stands, the first of its readings.
    """
    text = traditional(text, rng)
    glosses_it, share = rng.choice(
        ((_is_converted, _GLOSSED_KINDS), (_is_converted, 1.0), (_is_polyphonic, 1.0), (_is_han, 1.0))
    )
    # Sorted: a set's order differs from run to run, and the chance must not.
    glossed_kinds = {kind for kind in sorted(set(text)) if rng.random() < share and glosses_it(kind)}
    return "".join(f"{c}({_readings(c)[0]})" if c in glossed_kinds and _readings(c) else c for c in text)


KINDS: dict[str, Dirt] = {
    "OCR": ocr,
    "full-width": full_width,
    "lost spaces": lost_spaces,
    "Traditional": traditional,
    "sentence breaks": sentence_breaks,
    "inner spaces": inner_spaces,
    "half-width": half_width,
    "Traditional + pinyin": glossed,
}
"""All kinds, in the order in which they can be laid on one another."""


def mix(text: str, rng: Random) -> str:
    """Each kind on every other text."""
    for dirt in KINDS.values():
        if rng.random() < 0.5:
            text = dirt(text, rng)
    return text


def soil(text: str, dirt: Dirt, seed: int) -> str:
    """A text with dirt on it: always the same for the same text and seed, whatever other texts there are."""
    return dirt(text, Random(f"{seed} {text}"))


def _insert(text: str, places: re.Pattern[str], share: float, spaces: tuple[str, ...], rng: Random) -> str:
    return places.sub(lambda _: rng.choice(spaces) if rng.random() < share else "", text)


def _is_converted(character: str) -> bool:
    return simplify(character) != character


def _is_polyphonic(character: str) -> bool:
    return len(_readings(character)) > 1


def _is_han(character: str) -> bool:
    return _HAN.match(character) is not None


@cache
def _readings(character: str) -> tuple[str, ...]:
    """Its syllables with tone marks, the most usual first; none for what is no Han character."""
    from pypinyin import Style, pinyin  # reads its dictionaries when it is imported

    found = pinyin(character, style=Style.TONE, heteronym=True, errors="ignore")
    return tuple(found[0]) if found else ()


@cache
def _converter() -> opencc.OpenCC:
    return opencc.OpenCC("s2t")
