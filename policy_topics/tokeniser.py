"""Texts to windows of token ids: the classifier's first step, which needs a bundle and no engine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from tokenizers import Tokenizer

from policy_topics.bundle import Bundle
from policy_topics.segment import sentences
from policy_topics.text import clean

Window = tuple[int, ...]
"""Token ids of one input of the encoder, special tokens included."""


class Tokenised(NamedTuple):
    """One text as windows: one, as a rule; more if it is longer than the encoder takes; none if it has no word.

    A tuple, for it goes from process to process by the million, and a dataclass takes longer to pickle.
    """

    windows: tuple[Window, ...]

    @property
    def tokens(self) -> int:
        return sum(map(len, self.windows))


class Tokeniser:
    """A bundle's tokenizer behind the cleaning of text. Safe to call from several threads.

    Attributes:
        pad_id: the token id that fills a batch up.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.pad_id: int = json.loads((bundle.path / "config.json").read_text("utf-8")).get("pad_token_id") or 0
        self._room = bundle.manifest.max_tokens - 2
        self._tokenizer: Tokenizer = Tokenizer.from_file(str(bundle.path / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._tokenizer.encode_special_tokens = True  # `[SEP]` in a text is five characters, and no end of it
        self._before, self._after = self._tokenizer.encode("").ids  # [CLS] and [SEP], whatever the backbone calls them

    def tokenise(self, texts: Sequence[str]) -> list[Tokenised]:
        """Clean the texts and turn them into windows of token ids."""
        cleaned = [clean(text).text for text in texts]
        worded = [text if any(map(str.isalnum, text)) else "" for text in cleaned]
        return [each if text else Tokenised(()) for text, each in zip(worded, self.tokenise_clean(worded), strict=True)]

    def tokenise_clean(self, texts: Sequence[str]) -> list[Tokenised]:
        """Turn texts as they are into windows of token ids, one at least, even where there is no word."""
        return [
            Tokenised((tuple(e.ids),) if len(e) <= self._room + 2 else self._windows(text))
            for text, e in zip(texts, self._tokenizer.encode_batch_fast(texts), strict=True)
        ]

    def words(self, text: str) -> list[tuple[int, int]]:
        """Where the tokenizer's pieces that have a letter or digit stand in a clean text: (start, end) each."""
        offsets = self._tokenizer.encode(text, add_special_tokens=False).offsets
        return [(start, end) for start, end in offsets if any(map(str.isalnum, text[start:end]))]

    def _windows(self, text: str) -> tuple[Window, ...]:
        """Whole sentences to a window, as many as fit; a sentence that is too long itself is cut."""
        windows: list[list[int]] = [[]]
        for sentence in self._tokenizer.encode_batch_fast(sentences(text), add_special_tokens=False):
            ids = sentence.ids  # a copy each time it is asked for
            for start in range(0, len(ids), self._room):
                piece = ids[start : start + self._room]
                if len(windows[-1]) + len(piece) > self._room:
                    windows.append([])
                windows[-1].extend(piece)
        return tuple((self._before, *window, self._after) for window in windows if window)
