"""Topics as people write them: ids and Chinese or English names, in any case and width, one or several in a cell."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import yaml

from configs.taxonomy import Taxonomy
from policy_topics.text import simplify

_NONE = ("无", "无主题", "none", "no topic")
"""What stands in a cell, or alone in a list, for a paragraph without a topic. An empty cell does not: it may have been
forgotten."""

_SEPARATORS = (r"[;；|#\n]", r"[,，]", "、")
"""Tried in this order: names of topics hold commas and enumeration commas themselves, so a whole cell comes first."""


class UnknownTopic(ValueError):
    """A name that is no topic's; the message names the nearest."""


class TopicNames:
    """Names to topic ids.

    Attributes:
        spelt: what was written otherwise than as an id, with the id that it was read as, and how often.
    """

    def __init__(self, taxonomy: Taxonomy, separator: str | None = None) -> None:
        """`separator`: what stands between the topics of a cell; None = any of the usual marks."""
        self._separators = (re.escape(separator),) if separator else _SEPARATORS
        self._ids = set(taxonomy.ids)
        found: dict[str, set[str]] = {}
        for topic in taxonomy.topics:
            for name in (topic.id, topic.zh, topic.en):
                found.setdefault(_plain(name), set()).add(topic.id)
        self._topics = {name: ids.pop() for name, ids in found.items() if len(ids) == 1}
        self._shown = {topic.id: f'"{topic.id}" ({topic.zh})' for topic in taxonomy.topics}
        self.spelt: dict[tuple[str, str], int] = {}

    def read(self, value: Any) -> list[str]:
        """Topic ids of a cell or a list, in its order, none twice.

        Raises:
            UnknownTopic: one of them is no topic, or nothing is there at all.
        """
        if isinstance(value, dict) and "choices" in value:  # Label Studio's tables
            value = value["choices"]
        if isinstance(value, str) and value.strip().startswith(("[", "{")):
            value = _parsed(value)
            return self.read(value)
        if isinstance(value, list | tuple):
            if len(value) == 1 and _says_none(value[0]):
                return []
            return list(dict.fromkeys(topic for each in value for topic in [self._one(each)]))
        if value is None or not str(value).strip():
            raise UnknownTopic('no label; write "none" or 无 (in JSON: []) for a paragraph without a topic')
        if _says_none(str(value)):
            return []
        return list(dict.fromkeys(self._split(str(value), self._separators)))

    def _split(self, cell: str, separators: Sequence[str]) -> list[str]:
        """Topics of a cell: the longest runs of its parts that are a name, and the other parts split further."""
        if not separators or _plain(cell) in self._topics:
            return [self._one(cell)]
        marks = [(0, 0), *(mark.span() for mark in re.finditer(separators[0], cell)), (len(cell), len(cell))]
        parts = [(a[1], b[0]) for a, b in pairwise(marks) if cell[a[1] : b[0]].strip()]
        topics: list[str] = []
        i = 0
        while i < len(parts):
            runs = ((j, cell[parts[i][0] : parts[j][1]]) for j in range(len(parts) - 1, i - 1, -1))
            last, name = next(((j, run) for j, run in runs if _plain(run) in self._topics), (i, ""))
            topics += [self._one(name)] if name else self._split(cell[slice(*parts[i])], separators[1:])
            i = last + 1
        return topics or [self._one(cell)]

    def _one(self, name: Any) -> str:
        if isinstance(name, str) and name.strip() in self._ids:
            return name.strip()
        if not isinstance(name, str):
            raise UnknownTopic(f"label {name!r} is no name of a topic; write its id or its name")
        plain = _plain(name)
        if plain not in self._topics:
            shown = name.strip().encode("utf-8", "replace").decode("utf-8")
            if mark := self._parting(name):
                raise UnknownTopic(
                    f'label "{shown}" is no topic, but its parts between "{mark}" are; '
                    f'give --separator "{mark}", or in a list write each one by itself'
                )
            near = difflib.get_close_matches(plain, self._topics, n=1, cutoff=0.4)
            hint = f"the nearest is {self._shown[self._topics[near[0]]]}" if near else "the topics are in topics.yaml"
            raise UnknownTopic(f'label "{shown}" is no topic; {hint}')
        topic = self._topics[plain]
        written = name.strip()
        self.spelt[written, topic] = self.spelt.get((written, topic), 0) + 1
        return topic

    def _parting(self, name: str) -> str | None:
        """The mark that has topics on all its sides, if there is one."""
        for mark in re.findall(r"\W", name.strip()):
            if mark.isprintable() and all(_plain(part) in self._topics for part in name.split(mark)):
                return str(mark)
        return None


def _says_none(value: Any) -> bool:
    return isinstance(value, str) and _plain(value) in map(_plain, _NONE)


def _plain(name: str) -> str:
    """Without differences in case, width, spaces, hyphens, and Traditional or Simplified characters."""
    whole = name.encode("utf-8", "replace").decode("utf-8")  # JSON and Excel can escape halves of a surrogate pair
    return simplify(re.sub(r"[\s_-]+", "", unicodedata.normalize("NFKC", whole).casefold()))


def _parsed(cell: str) -> Any:
    """A list written in a cell, as JSON or as Python prints it: YAML reads both."""
    try:
        return yaml.safe_load(cell)
    except yaml.YAMLError:
        raise UnknownTopic(f"{cell!r} is no list that can be read") from None
