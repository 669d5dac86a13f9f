"""Texts in, topics out, in three steps that can be run apart: tokenise, run, decode."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from configs.settings import EngineSettings
from configs.taxonomy import MOST_TOPICS
from policy_topics.bundle import Bundle, load_bundle
from policy_topics.engine import Engine, Logits, batches, load_engine, pad
from policy_topics.tokeniser import Tokenised, Tokeniser, Window

Batching = Callable[[Sequence[int], int], Iterable[list[int]]]
"""Lengths of windows, and how many tokens a batch may have → indexes of the windows of each batch."""

_NOTHING = -1.0e4
"""The logit of every topic where there is nothing to read."""


@dataclass(frozen=True, slots=True)
class TopicProbability:
    id: str
    probability: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a text is about.

    Attributes:
        probabilities: calibrated, of every topic in the taxonomy's order, (topics,).
        topics: those over their thresholds, at most four, the most probable first.
        tokens: tokens that the encoder read.
        windows: in how many pieces it read them; 0 for a text without a word.
    """

    probabilities: NDArray[np.float32]
    topics: tuple[TopicProbability, ...]
    tokens: int
    windows: int

    @property
    def primary(self) -> str | None:
        """The most probable topic over its threshold, if any."""
        return self.topics[0].id if self.topics else None


def split_by_text(logits: Logits, texts: Sequence[Tokenised]) -> list[Logits]:
    """Logits of all windows of some texts, (windows, topics), as those of each text's windows."""
    ends = np.cumsum([len(text.windows) for text in texts])
    return np.split(logits, ends[:-1]) if texts else []


def pool(logits: Logits) -> Logits:
    """Logits of one text, (topics,), out of those of its windows, (windows, topics).

    A long text carries what any of its windows carries, so the largest counts. A text without a word carries nothing.
    """
    return logits.max(axis=0) if len(logits) else np.full(logits.shape[1], _NOTHING, np.float32)


class Classifier:
    """A bundle ready to classify. Safe to call from several threads."""

    def __init__(self, bundle: Bundle, engine: Engine, batch_tokens: int) -> None:
        self.bundle = bundle
        self.engine = engine
        self.batch_tokens = batch_tokens
        self._topic_ids = bundle.taxonomy.ids
        self._tokeniser = Tokeniser(bundle)

    @classmethod
    def load(cls, bundle: Path, settings: EngineSettings, streams: int = 1) -> Classifier:
        """Open a bundle with the engine that the settings choose; see `load_engine`.

        Raises:
            BundleError: the bundle is missing, changed or made for something else.
            EngineError: no engine is installed.
        """
        opened = load_bundle(bundle)
        return cls(opened, load_engine(opened, settings, streams), settings.batch_tokens)

    def classify(self, texts: Sequence[str]) -> list[Prediction]:
        """Predictions for paragraphs, in their order. Texts may be dirty; they are cleaned."""
        tokenised = self.tokenise(texts)
        return self.decode(self.logits(tokenised), tokenised)

    def logits(self, tokenised: Sequence[Tokenised]) -> list[Logits]:
        """Logits of each text's windows, (windows, topics) each: what `decode` takes."""
        return split_by_text(self.run([window for text in tokenised for window in text.windows]), tokenised)

    def tokenise(self, texts: Sequence[str]) -> list[Tokenised]:
        """Clean the texts and turn them into windows of token ids."""
        return self._tokeniser.tokenise(texts)

    def tokenise_clean(self, texts: Sequence[str]) -> list[Tokenised]:
        """Turn clean texts, or parts of such, as they are into windows of token ids, even where there is no word."""
        return self._tokeniser.tokenise_clean(texts)

    def words(self, text: str) -> list[tuple[int, int]]:
        """Where the words of a clean text stand, as the tokenizer knows words: (start, end) each."""
        return self._tokeniser.words(text)

    def run(self, windows: Sequence[Window], batching: Batching = batches) -> Logits:
        """Logits of windows, (windows, topics), in their order."""
        if self.engine.streams == 1:
            logits, run_batch = self._runner(windows)
            for batch in self._batches(windows, batching):
                run_batch(batch)
            return logits
        with ThreadPoolExecutor(self.engine.streams) as threads:
            return self.begin(windows, threads, batching)()

    def begin(self, windows: Sequence[Window], threads: Executor, batching: Batching = batches) -> Callable[[], Logits]:
        """As `run`, in threads, of which the engine keeps `engine.streams` at work: what is returned waits for the
        logits."""
        logits, run_batch = self._runner(windows)
        running = threads.map(run_batch, self._batches(windows, batching))

        def finish() -> Logits:
            for _ in running:  # raises what one of them raised
                pass
            return logits

        return finish

    def _runner(self, windows: Sequence[Window]) -> tuple[Logits, Callable[[list[int]], None]]:
        """Room for the logits of windows, and what fills in those of a batch."""
        logits = np.zeros((len(windows), len(self._topic_ids)), np.float32)

        def run_batch(batch: list[int]) -> None:
            logits[batch] = self.engine.logits(*pad([windows[i] for i in batch], self._tokeniser.pad_id))

        return logits, run_batch

    def _batches(self, windows: Sequence[Window], batching: Batching) -> Iterable[list[int]]:
        return batching([len(window) for window in windows], self.batch_tokens)

    def decode(self, logits: Sequence[Logits], tokenised: Sequence[Tokenised]) -> list[Prediction]:
        """The predictions of texts out of the logits of their windows, (windows, topics) each.

        A text's is the same to the last bit whatever texts are beside it; archives rely on that.
        """
        if not tokenised:
            return []
        calibration = self.bundle.calibration
        probabilities = calibration.probabilities(np.stack([pool(each) for each in logits]))
        over: list[list[int]] = [[] for _ in tokenised]
        for row, topic in np.argwhere(probabilities >= calibration.threshold).tolist():
            over[row].append(topic)
        return [
            Prediction(of_text, self._best(of_text, topics), text.tokens, len(text.windows))
            for of_text, topics, text in zip(probabilities, over, tokenised, strict=True)
        ]

    def _best(self, probabilities: NDArray[np.float32], topics: Sequence[int]) -> tuple[TopicProbability, ...]:
        best = sorted(topics, key=lambda topic: -probabilities[topic])[:MOST_TOPICS]
        return tuple(TopicProbability(self._topic_ids[i], round(float(probabilities[i]), 4)) for i in best)
