"""Why a topic: the words of a paragraph that its probability rests on, by occlusion.

Each word is left out in turn, and the model reads the paragraph once more without it. By how much the log-odds of the
topic fall is what the word weighs there (Li, Monroe and Jurafsky 2016, arXiv:1612.08220). Unlike attention or
gradients this reports what the model does and not what it might look at; it costs as many readings as there are words,
which go through the batcher together and wait their turn there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from configs.settings import ServeSettings
from policy_topics.classifier import Classifier, pool
from policy_topics.engine import Logits
from policy_topics.text import clean
from policy_topics.tokeniser import Tokenised
from serve.answers import DIGITS, model_name
from serve.limits import while_connected
from serve.model import Model
from serve.observation.record import Record
from serve.problems import FieldError, invalid
from serve.reading import JSON, media_type, read_explain, unsupported
from serve.schemas import Explanation, WordWeight

MOST_READINGS = 200
"""Words that are left out one by one; where a text has more, neighbours are left out together."""

MOST_TOKENS = 100_000
"""Tokens of all readings together, about 3 s on two cores: longer texts are read in fewer variants."""

FEWEST_READINGS = 8
"""Variants of the longest text."""


@dataclass(frozen=True, slots=True)
class Occlusion:
    """A text and its variants: `tokenised` holds the whole one first, then it without each of `spans`.

    Spans are offsets in the text as it was sent.
    """

    spans: tuple[tuple[int, int], ...]
    tokenised: tuple[Tokenised, ...]


def occlude(classifier: Classifier, text: str) -> Occlusion:
    """The variants of a text that are to be scored. A text without a word has none."""
    cleaned = clean(text)
    whole = classifier.tokenise([cleaned.text])[0]
    words = _together(classifier.words(cleaned.text), whole.tokens)
    # The model reads what is left as it is, be it nothing: cleaned again, it could look like boilerplate, as
    # `来源：稳就业工作` of `来源：稳就业工作 会议` does, and that would weigh more than any word.
    without = classifier.tokenise_clean([cleaned.text[:start] + cleaned.text[end:] for start, end in words])
    return Occlusion(tuple(cleaned.span(*word) for word in words), (whole, *without))


def weigh(classifier: Classifier, occlusion: Occlusion, logits: Sequence[Logits], topic: str) -> list[WordWeight]:
    """What each span weighs for a topic, out of the logits of `occlusion.tokenised`; in the order of the text."""
    odds = _log_odds(classifier, logits, topic)
    return [
        WordWeight(start=start, end=end, weight=round(float(odds[0] - without), DIGITS))
        for (start, end), without in zip(occlusion.spans, odds[1:], strict=True)
    ]


class Explain:
    """The endpoint /explain."""

    def __init__(self, model: Model, limits: ServeSettings) -> None:
        self._model = model
        self._limits = limits

    async def answer(self, request: Request) -> Response:
        self._model.check()
        if media_type(request) != JSON:
            raise unsupported(request, JSON)
        explanation = await while_connected(request, self._explain(await request.body(), request.state.record))
        return Response(to_json(explanation), media_type=JSON)

    async def _explain(self, body: bytes, record: Record) -> Explanation:
        asked = read_explain(body, self._limits)
        async with self._model.using() as answering:
            classifier = answering.classifier
            if asked.topic not in classifier.bundle.taxonomy.ids:
                message = "no topic of the model that answers; /topics lists them"
                raise invalid([FieldError(item=None, field="topic", message=message)])
            record.enter("tokenise")
            occlusion = await asyncio.to_thread(occlude, classifier, asked.text)
            record.paragraphs, record.tokens = 1, sum(text.tokens for text in occlusion.tokenised)
            logits = await self._model.logits(answering, occlusion.tokenised, record)
            record.enter("decode")
            (whole,) = classifier.decode(logits[:1], occlusion.tokenised[:1])
            probability = float(whole.probabilities[classifier.bundle.taxonomy.ids.index(asked.topic)])
            return Explanation(
                model=model_name(classifier.bundle),
                method="occlusion",
                topic=asked.topic,
                probability=round(probability, DIGITS),
                spans=weigh(classifier, occlusion, logits, asked.topic),
            )


def _together(words: Sequence[tuple[int, int]], tokens: int) -> list[tuple[int, int]]:
    """The words, or runs of so many neighbours that the readings stay within their bounds."""
    most = min(MOST_READINGS, max(FEWEST_READINGS, MOST_TOKENS // max(tokens, 1)))
    size = -(-len(words) // most) or 1
    runs = [words[first : first + size] for first in range(0, len(words), size)]
    return [(run[0][0], run[-1][1]) for run in runs]


def _log_odds(classifier: Classifier, logits: Sequence[Logits], topic: str) -> NDArray[np.float64]:
    """Calibrated log-odds of a topic, one a text; not out of its probability, which has no digits left near 1."""
    calibration, column = classifier.bundle.calibration, classifier.bundle.taxonomy.ids.index(topic)
    of_topic = np.array([pool(own)[column] for own in logits], np.float64)
    return np.asarray(np.clip(of_topic / calibration.temperature[column] + calibration.bias[column], -30, 30))
