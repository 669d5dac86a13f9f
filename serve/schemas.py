"""What goes in and comes out over HTTP. Requests are validated models; answers are typed dictionaries."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from configs.taxonomy import MOST_TOPICS, TopicId

QUEUE_SHOWN = 20
"""Paragraphs of the queue in one answer, where the client does not say how many."""


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Options(_Body):
    """How to choose the topics of a paragraph."""

    top_k: Annotated[int, Field(ge=1, description="Give at most so many topics of a paragraph.")] | None = None
    threshold: (
        Annotated[
            float,
            Field(
                ge=0,
                le=1,
                description="Give the topics of at least this probability, instead of by the threshold of each topic.",
            ),
        ]
        | None
    ) = None
    crosswalk: Annotated[
        bool, Field(description="Put the CAP codes (`cap`) and the State Council class (`gov`) beside each topic.")
    ] = False


class Item(_Body):
    """One paragraph."""

    id: Annotated[str, Field(max_length=256, description="Comes back with the result.")] | None = None
    text: Annotated[
        str, Field(description="One paragraph. It is cleaned first. Without words in it, it has no topics.")
    ]


class ClassifyRequest(_Body):
    """Paragraphs to classify."""

    items: Annotated[list[Item], Field(description="The results are in this order.")]
    options: Options = Options()


class DocumentRequest(_Body):
    """A document as text."""

    text: str
    name: Annotated[str, Field(max_length=256, description="Comes back in `document`.")] = ""
    options: Options = Options()


class GivenTopic(_Body):
    """A topic that the model gave."""

    id: TopicId
    probability: Annotated[float, Field(ge=0, le=1)] | None = None


class FeedbackItem(_Body):
    """A correction of one paragraph."""

    id: (
        Annotated[UUID, Field(description="Make one for each correction: sent again, it is still stored once.")] | None
    ) = None
    text: Annotated[str, Field(description="The paragraph.")]
    old: Annotated[list[GivenTopic], Field(max_length=1000, description="The topics that the model gave.")]
    new: Annotated[
        list[TopicId], Field(max_length=MOST_TOPICS, description="The topics that it has, primary first; [] for none.")
    ]
    model: (
        Annotated[str, Field(max_length=64, description="Version of the model that gave `old`; else the present one.")]
        | None
    ) = None
    document: Annotated[str, Field(max_length=256, description="What the paragraph was taken from.")] | None = None


class FeedbackRequest(_Body):
    """Corrections to store."""

    items: Annotated[list[FeedbackItem], Field(min_length=1)]
    consent: Annotated[
        bool,
        Field(
            description="Whoever corrects agrees that the text, the topics and the name of the API key are kept to "
            "improve the model. Without it nothing is stored."
        ),
    ] = False


class ExplainRequest(_Body):
    """A paragraph, and the topic of which one wants to know why."""

    text: str
    topic: Annotated[str, Field(max_length=64, description="Id of a topic; the paragraph need not carry it.")]


class ModelName(TypedDict):
    """The model that answered."""

    name: str
    version: str
    taxonomy: Annotated[int, Field(description="Version of the taxonomy it was trained on.")]


class TopicAnswer(TypedDict):
    """A topic that a paragraph carries."""

    id: str
    name: Annotated[str, Field(description="Chinese; English if `Accept-Language` begins with `en`.")]
    probability: Annotated[float, Field(description="Calibrated, 0 to 1.")]
    cap: NotRequired[Annotated[list[int], Field(description="CAP major topics; with `options.crosswalk`.")]]
    gov: NotRequired[Annotated[str | None, Field(description="State Council subject class; with `options.crosswalk`.")]]


class Topics(TypedDict):
    """The topics of one paragraph."""

    topics: Annotated[list[TopicAnswer], Field(description="Most probable first; empty if it carries none.")]
    primary: Annotated[str | None, Field(description="Id of the first topic.")]
    tokens: Annotated[int, Field(description="Tokens of the cleaned text.")]
    windows: Annotated[int, Field(description="Runs through the model: over 1 if it is longer than the encoder takes.")]


class ItemResult(Topics):
    """The topics of one item."""

    id: str | None


class Classification(TypedDict):
    """Answer of /classify."""

    model: ModelName
    results: list[ItemResult]


class ParagraphResult(Topics):
    """The topics of one paragraph of a document."""

    index: int
    start: Annotated[int, Field(description="Offset in the decoded document, in code points.")]
    end: Annotated[int, Field(description="Offset after the paragraph's last code point.")]
    text: Annotated[str, Field(description="The paragraph, cleaned.")]


class DocumentTopic(TypedDict):
    """A topic of the document."""

    id: str
    name: str
    share: Annotated[
        float,
        Field(
            description="Characters of the paragraphs that carry the topic, over the characters of all paragraphs "
            "(cleaned text). A paragraph counts wholly for each of its topics, so shares can add up to more than 1."
        ),
    ]


class DocumentAbout(TypedDict):
    """How the document was read."""

    name: str
    media_type: str
    encoding: str | None
    remarks: Annotated[
        list[str],
        Field(description="What could not be read of it, such as scanned pages, in Chinese and English; else empty."),
    ]


class DocumentClassification(TypedDict):
    """Answer of /classify_document."""

    model: ModelName
    document: DocumentAbout
    results: list[ParagraphResult]
    document_topics: Annotated[list[DocumentTopic], Field(description="Largest share first.")]
    dropped: Annotated[
        list[str],
        Field(description="Lines that were left out: those around the article of a web page, then boilerplate."),
    ]


class FeedbackStored(TypedDict):
    """Answer of /feedback."""

    ids: Annotated[list[str], Field(description="Of the corrections, in the order sent. They are on the disk.")]


class QueueTopic(TypedDict):
    """A topic that the model gave to a paragraph of the queue."""

    id: str
    probability: float


class QueueItem(TypedDict):
    """A paragraph that is worth a label."""

    id: str
    text: str
    document: str
    topics: list[QueueTopic]
    reason: Annotated[str, Field(description="Why it was picked, in Chinese and English.")]
    model: Annotated[str, Field(description="Version of the model that gave the topics.")]


class QueueAnswer(TypedDict):
    """Answer of /queue."""

    items: Annotated[list[QueueItem], Field(description="Those from `offset` on, the most useful first.")]
    total: Annotated[int, Field(description="How many there are that nobody has corrected yet.")]


class FeedbackAbout(TypedDict):
    """What the service does with corrections."""

    enabled: Annotated[bool, Field(description="Whether /feedback takes any (feedback.enabled).")]
    queue: Annotated[bool, Field(description="Whether /queue offers paragraphs to label (feedback.queue).")]


class DocumentText(TypedDict):
    """Answer of /read_document."""

    document: DocumentAbout
    text: Annotated[str, Field(description="The document as it was decoded; offsets of paragraphs are offsets in it.")]
    dropped: Annotated[list[str], Field(description="Lines around the article of a web page; they are not in `text`.")]


class WordWeight(TypedDict):
    """What one word does for a topic."""

    start: Annotated[int, Field(description="Offset in the text as it was sent, in code points.")]
    end: int
    weight: Annotated[
        float,
        Field(
            description="By how much the log-odds of the topic fall when the word is left out; below 0 if they rise."
        ),
    ]


class Explanation(TypedDict):
    """Answer of /explain."""

    model: ModelName
    method: Annotated[Literal["occlusion"], Field(description="Each word was left out in turn.")]
    topic: str
    probability: Annotated[float, Field(description="Of the topic, with every word there.")]
    spans: Annotated[
        list[WordWeight],
        Field(description="Every word in the order of the text; in long texts, runs of neighbouring words."),
    ]


class LimitsAnswer(TypedDict):
    """What one request may hold. Each is a setting `serve.…`."""

    max_body_bytes: int
    max_items: int
    max_item_characters: int
    max_document_characters: int
    timeout_seconds: int


class ModelAnswer(ModelName):
    """Answer of /model."""

    topics: Annotated[int, Field(description="Number of topics.")]
    engine: str
    metrics: Annotated[dict[str, Any], Field(description="`metrics.json` of the bundle.")]
    limits: LimitsAnswer
    feedback: FeedbackAbout
