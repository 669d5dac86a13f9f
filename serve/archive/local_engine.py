"""Scoring on this machine: reader processes fill a queue, the model empties it with all cores.

The model takes a pool of chunks at a time: enough to sort by length into batches with hardly any padding.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path

from configs.settings import EngineSettings, Settings
from policy_topics.classifier import Classifier, Prediction
from policy_topics.engine import MOST_STREAMS, available_cores, engine_threads
from serve.archive.formats import Row
from serve.archive.inputs import Source
from serve.archive.readers import Readers
from serve.archive.reading import Chunk, Finished, Message
from serve.archive.scoring import Result, predict, score

POOL_BATCHES = 192
"""Batches of tokens in a pool: some 4,000 paragraphs, which is enough of most lengths to fill batches of one width."""

FEWEST_BATCHES = 16
"""Where reading is slower than the model, it takes a pool that is not full, but none of less."""

MOST_MESSAGES = 1000
"""In a pool: a folder of which most is done already has hardly any tokens."""

CORES_A_READER = 4
"""One process reads, cleans and tokenises some 4,000 paragraphs of text a second: what eight cores or more score with
the embedded model. PDF and web pages take longer to read."""


def score_locally(
    sources: Iterator[Source], admit: Callable[[str, str], int | None], bundle: Path, settings: Settings
) -> Generator[Result]:
    """Results of all sources; those of one source in order. See `Output.admit`."""
    with Readers(sources, admit, bundle, settings.archive, _reader_count()) as readers:
        classifier = Classifier.load(bundle, settings.engine, streams(settings.engine))
        with closing(score(_pools(readers, classifier.batch_tokens), classifier)) as pools:
            for results in pools:
                yield from results


def streams(settings: EngineSettings) -> int:
    """Of the engine: one for each thread, so that none waits for another while a reader or the writer has its core."""
    return min(engine_threads(settings), MOST_STREAMS)


def predict_locally(
    sources: Iterator[Source], classifier: Classifier, settings: Settings
) -> Generator[Finished | tuple[Row, Prediction]]:
    """Every row of all sources with what the model makes of it, and how each input ended. Nothing is resumed."""
    bundle = classifier.bundle.path
    with (
        Readers(sources, lambda name, sha256: 0, bundle, settings.archive, _reader_count()) as readers,
        closing(predict(_pools(readers, classifier.batch_tokens), classifier)) as pools,
    ):
        for messages, predictions in pools:
            yield from (message for message in messages if isinstance(message, Finished))
            rows = (row for message in messages if isinstance(message, Chunk) for row in message.rows)
            yield from zip(rows, predictions, strict=True)


def _reader_count() -> int:
    return max(1, available_cores() // CORES_A_READER)


def _pools(readers: Readers, batch_tokens: int) -> Iterator[list[Message]]:
    pool: list[Message] = []
    tokens = 0
    while True:
        try:
            message = readers.get(wait=tokens < FEWEST_BATCHES * batch_tokens)
        except queue.Empty:
            full = True
        else:
            if message is None:
                break
            pool.append(message)
            tokens += sum(text.tokens for text in message.tokenised) if isinstance(message, Chunk) else 0
            full = tokens >= POOL_BATCHES * batch_tokens or len(pool) >= MOST_MESSAGES
        if full:
            yield pool
            pool, tokens = [], 0
    yield pool
