"""What the service answers, as typed values; what it may answer beyond them, in later versions, is passed over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar, cast
from uuid import UUID, uuid4

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ModelName:
    """The model that answered; `taxonomy` is the version of its taxonomy."""

    name: str
    version: str
    taxonomy: int


@dataclass(frozen=True, slots=True)
class GivenTopic:
    """A topic that a paragraph carries, with its calibrated probability; `cap` and `gov` where they were asked for."""

    id: str
    name: str
    probability: float
    cap: tuple[int, ...] | None = None
    gov: str | None = None


@dataclass(frozen=True, slots=True)
class Classified:
    """The topics of one text.

    Attributes:
        model: that gave them.
        topics: the most probable first; empty if it carries none.
        primary: id of the first.
        tokens: tokens of the cleaned text.
        windows: runs through the model: over 1 if it is longer than the encoder takes, 0 if it has no word.
    """

    model: ModelName
    topics: tuple[GivenTopic, ...]
    primary: str | None
    tokens: int
    windows: int


@dataclass(frozen=True, slots=True)
class ClassifiedParagraph(Classified):
    """One paragraph of a document: `start` and `end` are offsets in its decoded text, `text` is cleaned."""

    index: int
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class TopicShare:
    """A topic of a document: the share of its characters whose paragraphs carry it."""

    id: str
    name: str
    share: float


@dataclass(frozen=True, slots=True)
class ClassifiedDocument:
    """A document, paragraph by paragraph.

    Attributes:
        remarks: for people, what could not be read of it, such as scanned pages.
        dropped: lines that were left out: those around the article of a web page, and boilerplate.
    """

    model: ModelName
    name: str
    media_type: str
    encoding: str | None
    remarks: tuple[str, ...]
    paragraphs: tuple[ClassifiedParagraph, ...]
    topics: tuple[TopicShare, ...]
    dropped: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may hold."""

    max_body_bytes: int
    max_items: int
    max_item_characters: int
    max_document_characters: int
    timeout_seconds: int


@dataclass(frozen=True, slots=True)
class ServedModel:
    """The model that answers now; `metrics` is the `metrics.json` of its bundle."""

    name: str
    version: str
    taxonomy: int
    topics: int
    engine: str
    metrics: Mapping[str, Any]
    limits: Limits


@dataclass(frozen=True, slots=True)
class Corrected:
    """What somebody says that a text is about.

    Attributes:
        text: the text.
        given: what the model had said of it.
        topics: ids of the topics that it has, primary first.
        document: what it was taken from.
        id: sent again under the same one, it is stored once.
    """

    text: str
    given: Classified
    topics: tuple[str, ...]
    document: str | None = None
    id: UUID = field(default_factory=uuid4)


def classified(answer: Mapping[str, Any]) -> list[Classified]:
    """The answer of /classify."""
    model = _known(ModelName, answer["model"])
    return [Classified(model, **_topics(each)) for each in answer["results"]]


def classified_document(answer: Mapping[str, Any]) -> ClassifiedDocument:
    """The answer of /classify_document."""
    model, about = _known(ModelName, answer["model"]), answer["document"]
    places = ("index", "start", "end", "text")
    return ClassifiedDocument(
        model=model,
        name=about["name"],
        media_type=about["media_type"],
        encoding=about["encoding"],
        remarks=tuple(about["remarks"]),
        paragraphs=tuple(
            ClassifiedParagraph(model, **_topics(each), **{place: each[place] for place in places})
            for each in answer["results"]
        ),
        topics=tuple(_known(TopicShare, each) for each in answer["document_topics"]),
        dropped=tuple(answer["dropped"]),
    )


def served_model(answer: Mapping[str, Any]) -> ServedModel:
    """The answer of /model."""
    return _known(ServedModel, {**answer, "limits": _known(Limits, answer["limits"])})


def _topics(result: Mapping[str, Any]) -> dict[str, Any]:
    topics = tuple(
        _known(GivenTopic, {**each, "cap": tuple(each["cap"])} if "cap" in each else each) for each in result["topics"]
    )
    return {"topics": topics, "primary": result["primary"], "tokens": result["tokens"], "windows": result["windows"]}


def _known(kind: type[T], values: Mapping[str, Any]) -> T:
    return kind(**{each.name: values[each.name] for each in fields(cast(Any, kind)) if each.name in values})
