"""The service from Python, over HTTP: `Client`, and `AsyncClient` for programs that run on asyncio.

with Client("http://127.0.0.1:3000") as client:
    for text, given in zip(texts, client.classify(texts)):
        print(text, given.primary)
"""

from policy_topics.client.answers import (
    Classified,
    ClassifiedDocument,
    ClassifiedParagraph,
    Corrected,
    GivenTopic,
    Limits,
    ModelName,
    ServedModel,
    TopicShare,
)
from policy_topics.client.asynchronous import AsyncClient
from policy_topics.client.errors import ClientError, FieldFault, Incomplete, ServiceError, Unreachable, UnusableTexts
from policy_topics.client.synchronous import Client

__all__ = [
    "AsyncClient",
    "Classified",
    "ClassifiedDocument",
    "ClassifiedParagraph",
    "Client",
    "ClientError",
    "Corrected",
    "FieldFault",
    "GivenTopic",
    "Incomplete",
    "Limits",
    "ModelName",
    "ServedModel",
    "ServiceError",
    "TopicShare",
    "Unreachable",
    "UnusableTexts",
]
