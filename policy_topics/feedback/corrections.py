"""What a correction is."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime

from policy_topics.text import clean


@dataclass(frozen=True, slots=True)
class Suggested:
    """A topic that a model gave, with its probability where that is known."""

    id: str
    probability: float | None


@dataclass(frozen=True, slots=True)
class Correction:
    """What somebody says that a paragraph is about.

    Attributes:
        id: UUID made by the client: the same one again is the same correction.
        text: the paragraph, as it was sent.
        old: topics that the model gave, the most probable first.
        new: topics that it has, primary first.
        model: name of the model that gave the old ones; None where only its version is known.
        version: the model's.
        taxonomy: version of the taxonomy that the new ones are of.
        time: of its arrival, UTC.
        who: name of the API key that it came with, if any.
        document: what the paragraph was taken from, as the client calls it.
    """

    id: str
    text: str
    old: tuple[Suggested, ...]
    new: tuple[str, ...]
    model: str | None
    version: str
    taxonomy: int
    time: datetime
    who: str | None
    document: str | None

    def content_sha256(self) -> str:
        """Hash of what the client says, by which a correction that is sent again is told from another one."""
        said = [self.text, [[topic.id, topic.probability] for topic in self.old], self.new, self.document]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def text_sha256(text: str) -> str:
    """sha256 in hex of a paragraph's clean text: the same for all spellings of it that cleaning makes one."""
    return clean_sha256(clean(text).text)


def clean_sha256(clean_text: str) -> str:
    """`text_sha256` of a text that is clean."""
    return hashlib.sha256(clean_text.encode()).hexdigest()
