"""The page about the taxonomy, of topics.yaml and its English definitions.

python -m configs.taxonomy_page > docs/taxonomy.md
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from configs.taxonomy import TOPICS_FILE, Taxonomy, Topic, load_taxonomy

ENGLISH_FILE = Path(__file__).with_name("topics.en.yaml")

CAP_TOPICS = {
    1: "Macroeconomics",
    2: "Civil Rights",
    3: "Health",
    4: "Agriculture",
    5: "Labor",
    6: "Education",
    7: "Environment",
    8: "Energy",
    9: "Immigration",
    10: "Transportation",
    12: "Law and Crime",
    13: "Social Welfare",
    14: "Housing",
    15: "Domestic Commerce",
    16: "Defense",
    17: "Technology",
    18: "Foreign Trade",
    19: "International Affairs",
    20: "Government Operations",
    21: "Public Lands",
    23: "Culture",
}
"""Major topics of the Comparative Agendas Project. Source: its Master Codebook, comparativeagendas.net."""

_ABOUT = """\
# 主题体系 The taxonomy

<!-- Made of configs/topics.yaml and topics.en.yaml: python -m configs.taxonomy_page > docs/taxonomy.md -->

第 {version} 版，{size} 个主题。一个段落标注其确有论及的零至四个主题，第一个为主要主题；标注规则见
[data/ANNOTATION.md](../data/ANNOTATION.md)。以中文定义为准；“不含”写明相近内容的归属。

Version {version}, {size} topics. A paragraph carries those that it says something about, none to four, the primary one
first; the rules are in [data/ANNOTATION.md](../data/ANNOTATION.md). The Chinese definitions hold; “not” says where near
misses belong.

Each topic has crosswalks: **CAP**, the major topics of the
[Comparative Agendas Project](https://www.comparativeagendas.net), best first; and **国务院**, the State Council's
subject class (主题分类) of government documents, where it has one. Over HTTP they come with
`"options": {{"crosswalk": true}}`; all of this is what `GET /topics` answers, but for the English definitions.
"""


class EnglishDefinition(BaseModel):
    """`define` and `not` of a topic in English."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    define: str
    not_: str = Field(alias="not")


def load_english(file: Path = ENGLISH_FILE) -> dict[str, EnglishDefinition]:
    """English definitions by topic id."""
    return TypeAdapter(dict[str, EnglishDefinition]).validate_python(yaml.safe_load(file.read_text("utf-8")))


def page(taxonomy: Taxonomy, english: Mapping[str, EnglishDefinition]) -> str:
    """The page in Markdown: a list of all topics, each topic with its definitions, and the crosswalks by class.

    Raises:
        KeyError: a topic has no English definition.
    """
    listed = [[f"[`{topic.id}`](#{topic.id})", topic.zh, topic.en] for topic in taxonomy.topics]
    parts = [
        _ABOUT.format(version=taxonomy.version, size=len(taxonomy.topics)),
        _table(["id", "中文", "English"], listed),
        "## 定义 Definitions\n",
        *(_section(topic, english[topic.id]) for topic in taxonomy.topics),
        "## CAP\n",
        _table(["major topic", "主题 topics"], _by_cap(taxonomy)),
        "## 国务院主题分类 State Council classes\n",
        _table(["类 class", "主题 topics"], _by_class(taxonomy)),
    ]
    return "\n".join(parts)


def _section(topic: Topic, english: EnglishDefinition) -> str:
    cap = "; ".join(_cap(code) for code in topic.cap)
    return (
        f"### {topic.id}\n\n"
        f"**{topic.zh} · {topic.en}**\n\n"
        f"- {topic.define}。不含：{topic.not_}。\n"
        f"- {english.define[0].upper()}{english.define[1:]}. Not: {english.not_}.\n"
        f"- CAP: {cap} · 国务院：{topic.gov or '无'}\n"
    )


def _by_cap(taxonomy: Taxonomy) -> list[list[str]]:
    codes = sorted({code for topic in taxonomy.topics for code in topic.cap})
    return [[_cap(code), _ids(topic for topic in taxonomy.topics if code in topic.cap)] for code in codes]


def _by_class(taxonomy: Taxonomy) -> list[list[str]]:
    classes = dict.fromkeys(topic.gov for topic in taxonomy.topics if topic.gov)
    rows = [[name, _ids(topic for topic in taxonomy.topics if topic.gov == name)] for name in classes]
    return [*rows, ["（无 none）", _ids(topic for topic in taxonomy.topics if not topic.gov)]]


def _cap(code: int) -> str:
    return f"{code} {CAP_TOPICS.get(code, '')}".strip()


def _ids(topics: Iterable[Topic]) -> str:
    return ", ".join(f"[`{topic.id}`](#{topic.id})" for topic in topics)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(cells)} |\n" for cells in [head, ["---"] * len(head), *rows])


def main() -> None:
    print(page(load_taxonomy(TOPICS_FILE), load_english()), end="")


if __name__ == "__main__":
    main()
