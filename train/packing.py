"""A corpus as pre-training reads it: token ids in sequences of one length, prepared once and kept on disk."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Self

import numpy as np
import rjieba
from numpy.typing import NDArray
from tokenizers import Tokenizer

from configs.settings import PretrainSettings, resolve
from policy_topics.durable import write_whole
from policy_topics.errors import TrainingError
from train.corpus import CorpusText, read_corpus
from train.vocabulary import CLS, SEP, train_tokenizer

Ids = NDArray[np.int32]
"""(sequences, sequence_tokens)."""

Inside = NDArray[np.bool_]
"""(sequences, sequence_tokens): whether a token starts inside a word, so that it is masked with the token before it."""

_TEXTS_AT_ONCE = 512


@dataclass(frozen=True, slots=True)
class Packed:
    """Sequences of token ids, and which tokens go on with a word."""

    ids: Ids
    inside: Inside

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> Self:
        return type(self)(self.ids[rows], self.inside[rows])


def corpus_tokenizer(corpus: Path, folder: Path, settings: PretrainSettings) -> Tokenizer:
    """The tokenizer in `folder`; if there is none yet, that of the encoder to start from, else learnt from the corpus.

    Raises:
        TrainingError: the encoder to start from has no `tokenizer.json`.
    """
    file = folder / "tokenizer.json"
    if not file.exists():
        tokenizer = _tokenizer_of(resolve(settings.start)) if settings.start else _learnt_tokenizer(corpus, settings)
        write_whole(file, tokenizer.to_str(pretty=True))
    return Tokenizer.from_file(str(file))


def _tokenizer_of(encoder: Path) -> Tokenizer:
    source = encoder / "tokenizer.json"
    if not source.exists():
        raise TrainingError(f"{source} does not exist; pretrain.start names the folder of an encoder")
    tokenizer = Tokenizer.from_file(str(source))
    tokenizer.no_truncation()  # a bundle's cuts texts where its fine-tuning did
    tokenizer.no_padding()
    return tokenizer


def _learnt_tokenizer(corpus: Path, settings: PretrainSettings) -> Tokenizer:
    texts = [t.text for t in read_corpus(corpus, settings.source_weights, settings.held_out_share)]
    random.Random(settings.seed).shuffle(texts)
    return train_tokenizer(texts, settings.vocabulary_size)


def packed_sequences(
    corpus: Path, folder: Path, tokenizer: Tokenizer, settings: PretrainSettings
) -> tuple[Packed, Packed]:
    """Sequences to train on and held-out ones: [CLS], then texts that [SEP] parts, cut where a sequence is full.

    Raises:
        TrainingError: one of the two has not enough text for a single sequence.
    """
    names = "train", "held_out"
    if not all(_files(folder, name)[1].exists() for name in names):
        parts: tuple[list[Packed], list[Packed]] = ([], [])
        for text, encoded in _encoded(read_corpus(corpus, settings.source_weights, settings.held_out_share), tokenizer):
            parts[text.held_out].append(encoded)
        for name, part in zip(names, parts, strict=True):
            _save(folder, name, part, tokenizer, settings.sequence_tokens)
    stream, held_out = (_load(folder, name) for name in names)
    for what, packed in (("train on", stream), ("hold out", held_out)):
        if not len(packed):
            raise TrainingError(f"{corpus}: too little text to {what}; add text, or change pretrain.held_out_share")
    return stream, held_out


def token_id(tokenizer: Tokenizer, token: str) -> int:
    """The id of a special token.

    Raises:
        TrainingError: the tokenizer does not have it.
    """
    number = tokenizer.token_to_id(token)
    if number is None:
        raise TrainingError(f"the tokenizer has no {token}")
    return number


def _encoded(texts: Iterable[CorpusText], tokenizer: Tokenizer) -> Iterator[tuple[CorpusText, Packed]]:
    separator = token_id(tokenizer, SEP)
    for chunk in _chunks(texts):
        encoded = tokenizer.encode_batch([text.text for text in chunk], add_special_tokens=False)
        for text, encoding in zip(chunk, encoded, strict=True):
            ids = np.array([*encoding.ids, separator], np.int32)
            inside = inside_words(text.text, [start for start, _ in encoding.offsets])
            yield text, Packed(ids, np.append(inside, False))


def inside_words(text: str, starts: list[int]) -> NDArray[np.bool_]:
    """Which tokens, given by their first characters' positions, start inside a word as jieba cuts them."""
    word_starts = {0, *accumulate(len(word) for word in rjieba.cut(text))}
    return np.array([start not in word_starts for start in starts], np.bool_)


def _chunks(texts: Iterable[CorpusText]) -> Iterator[list[CorpusText]]:
    chunk: list[CorpusText] = []
    for text in texts:
        chunk.append(text)
        if len(chunk) == _TEXTS_AT_ONCE:
            yield chunk
            chunk = []
    yield chunk


def _pack(tokens: NDArray[np.int32] | NDArray[np.bool_], first: int, length: int) -> Ids | Inside:
    body = length - 1
    return np.insert(tokens[: len(tokens) // body * body].reshape(-1, body), 0, first, axis=1)


def _files(folder: Path, name: str) -> tuple[Path, Path]:
    return folder / f"{name}.npy", folder / f"{name}.inside.npy"


def _load(folder: Path, name: str) -> Packed:
    ids, inside = (np.load(file, mmap_mode="r") for file in _files(folder, name))
    return Packed(ids, inside)


def _save(folder: Path, name: str, parts: list[Packed], tokenizer: Tokenizer, length: int) -> None:
    ids = np.concatenate([np.empty(0, np.int32), *(part.ids for part in parts)])
    inside = np.concatenate([np.empty(0, np.bool_), *(part.inside for part in parts)])
    packed = _pack(ids, token_id(tokenizer, CLS), length), _pack(inside, False, length)
    for file, array in zip(_files(folder, name), packed, strict=True):
        part = file.with_suffix(".part")
        with part.open("wb") as stream:
            np.save(stream, array)
        part.replace(file)
