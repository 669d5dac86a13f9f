"""From predictions to answers: which topics are given, their names, and what a document is about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from configs.taxonomy import Taxonomy
from policy_topics.bundle import Bundle
from policy_topics.classifier import Prediction
from policy_topics.segment import Paragraph
from serve.schemas import DocumentTopic, ModelName, Options, TopicAnswer, Topics

Language = Literal["zh", "en"]

DIGITS = 4
"""Decimals of probabilities and shares."""


def model_name(bundle: Bundle) -> ModelName:
    """The model that answers."""
    return ModelName(name=bundle.name, version=bundle.version, taxonomy=bundle.taxonomy.version)


def topics_of(prediction: Prediction, taxonomy: Taxonomy, options: Options, language: Language) -> Topics:
    """The topics of a paragraph, as `options` choose them."""
    chosen = [(topic.id, topic.probability) for topic in prediction.topics]
    if options.threshold is not None:
        chosen = _over(options.threshold, prediction, taxonomy)
    chosen = chosen[: options.top_k]
    return Topics(
        topics=[_topic(topic_id, probability, taxonomy, options, language) for topic_id, probability in chosen],
        primary=chosen[0][0] if chosen else None,
        tokens=prediction.tokens,
        windows=prediction.windows,
    )


def document_topics(
    paragraphs: Sequence[Paragraph], topics: Sequence[Topics], taxonomy: Taxonomy, language: Language
) -> list[DocumentTopic]:
    """The topics of a document with their shares, largest first."""
    characters: Counter[str] = Counter()
    for paragraph, carried in zip(paragraphs, topics, strict=True):
        characters.update({topic["id"]: len(paragraph.text) for topic in carried["topics"]})
    whole = sum(len(paragraph.text) for paragraph in paragraphs)
    return [
        DocumentTopic(id=topic_id, name=_name(topic_id, taxonomy, language), share=round(part / whole, DIGITS))
        for topic_id, part in characters.most_common()
    ]


def _over(threshold: float, prediction: Prediction, taxonomy: Taxonomy) -> list[tuple[str, float]]:
    if not prediction.windows:  # nothing was read, so nothing is probable
        return []
    scored = zip(taxonomy.ids, prediction.probabilities.tolist(), strict=True)
    return sorted((pair for pair in scored if pair[1] >= threshold), key=lambda pair: -pair[1])


def _topic(topic_id: str, probability: float, taxonomy: Taxonomy, options: Options, language: Language) -> TopicAnswer:
    answer = TopicAnswer(id=topic_id, name=_name(topic_id, taxonomy, language), probability=round(probability, DIGITS))
    if options.crosswalk:
        topic = taxonomy[topic_id]
        answer["cap"] = list(topic.cap)
        answer["gov"] = topic.gov
    return answer


def _name(topic_id: str, taxonomy: Taxonomy, language: Language) -> str:
    topic = taxonomy[topic_id]
    return topic.en if language == "en" else topic.zh
