"""The taxonomy: the policy topics, their definitions, and crosswalks to CAP and the State Council's classes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

TOPICS_FILE = Path(__file__).with_name("topics.yaml")

MOST_TOPICS = 4
"""A paragraph carries at most so many topics (rule 3 of data/ANNOTATION.md)."""

TopicId = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]


class TaxonomyError(ValueError):
    """A taxonomy file that cannot be used; the message names the file, the place and the fault."""


class Topic(BaseModel):
    """One policy topic. `define` and `not_` are Chinese, as annotators read them."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    id: TopicId
    zh: str
    en: str
    define: str
    not_: str = Field(alias="not")
    cap: tuple[int, ...]
    """Comparative Agendas Project major-topic codes (master codebook), best first."""
    gov: str | None
    """State Council information-disclosure subject class (主题分类), where it has one."""


class Taxonomy(BaseModel):
    """A version of the topics, in the order of a model's outputs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int
    topics: tuple[Topic, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Taxonomy:
        repeated = sorted({i for i in self.ids if self.ids.count(i) > 1})
        if repeated:
            raise ValueError(f"topic ids stand more than once: {', '.join(repeated)}")
        return self

    @property
    def ids(self) -> tuple[str, ...]:
        """Topic ids, in the order of a model's outputs."""
        return tuple(topic.id for topic in self.topics)

    def __getitem__(self, topic_id: str) -> Topic:
        for topic in self.topics:
            if topic.id == topic_id:
                return topic
        raise KeyError(topic_id)


def save_taxonomy(taxonomy: Taxonomy, file: Path) -> None:
    """Write a `topics.yaml` that `load_taxonomy` reads back the same."""
    content = taxonomy.model_dump(mode="json", by_alias=True)
    file.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False, width=120), "utf-8")


def load_taxonomy(file: Path = TOPICS_FILE) -> Taxonomy:
    """Read a `topics.yaml`.

    Raises:
        TaxonomyError: the file is missing, not YAML, or not a taxonomy.
    """
    try:
        return Taxonomy.model_validate(yaml.safe_load(file.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as fault:
        raise TaxonomyError(f"{file}: cannot be read as YAML: {fault}") from fault
    except ValidationError as fault:
        raise TaxonomyError(f"{file}: not a taxonomy: {faults_of(fault)}") from fault


def faults_of(fault: ValidationError) -> str:
    """What is wrong with a file that was validated, place by place."""
    return "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in fault.errors())
