"""The taxonomy that the project ships, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.taxonomy import TaxonomyError, load_taxonomy

ONE = "{id: tax, zh: 税, en: Tax, define: 税费, not: 无, cap: [1], gov: null}"


def test_the_shipped_taxonomy_has_33_topics_with_crosswalks() -> None:
    taxonomy = load_taxonomy()
    assert len(taxonomy.ids) == 33
    assert all(topic.cap and topic.define and topic.not_ for topic in taxonomy.topics)
    assert taxonomy["congress_cppcc"].zh == "人大政协"


def test_a_topic_that_does_not_exist_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        load_taxonomy()["astrology"]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (f"version: 1\ntopics: [{ONE}, {ONE}]", "more than once: tax"),
        ("version: 1\ntopics: []", "topics"),
        (f"topics: [{ONE}]", "version"),
        ("version: 1\ntopics: [{id: Tax}]", "topics.0.id"),
        ("version: [", "cannot be read as YAML"),
    ],
)
def test_a_broken_taxonomy_is_refused_with_the_place(tmp_path: Path, content: str, fault: str) -> None:
    file = tmp_path / "topics.yaml"
    file.write_text(content, "utf-8")
    with pytest.raises(TaxonomyError, match=fault) as caught:
        load_taxonomy(file)
    assert "topics.yaml" in str(caught.value)
