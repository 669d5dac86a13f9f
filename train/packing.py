"""A corpus as pre-training reads it: token ids in sequences of one length, prepared once and kept on disk."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from configs.settings import PretrainSettings
from policy_topics.errors import TrainingError
from train.corpus import CorpusText, read_corpus
from train.vocabulary import CLS, SEP, train_tokenizer

Ids = NDArray[np.int32]
"""(sequences, sequence_tokens)."""

_TEXTS_AT_ONCE = 512


def corpus_tokenizer(corpus: Path, folder: Path, settings: PretrainSettings) -> Tokenizer:
    """The tokenizer in `folder`, learnt from the corpus if there is none yet."""
    file = folder / "tokenizer.json"
    if not file.exists():
        texts = [t.text for t in read_corpus(corpus, settings.source_weights, settings.held_out_share)]
        random.Random(settings.seed).shuffle(texts)
        part = file.with_suffix(".part")
        train_tokenizer(texts, settings.vocabulary_size).save(str(part))
        part.replace(file)
    return Tokenizer.from_file(str(file))


def packed_sequences(corpus: Path, folder: Path, tokenizer: Tokenizer, settings: PretrainSettings) -> tuple[Ids, Ids]:
    """Sequences to train on and held-out ones: [CLS], then texts that [SEP] parts, cut where a sequence is full.

    Raises:
        TrainingError: one of the two has not enough text for a single sequence.
    """
    files = folder / "train.npy", folder / "held_out.npy"
    if not all(file.exists() for file in files):
        tokens: tuple[list[Ids], list[Ids]] = ([], [])
        for text, ids in _encoded(read_corpus(corpus, settings.source_weights, settings.held_out_share), tokenizer):
            tokens[text.held_out].append(ids)
        for file, part in zip(files, tokens, strict=True):
            _save(file, _pack(part, tokenizer, settings.sequence_tokens))
    stream, held_out = np.load(files[0], mmap_mode="r"), np.load(files[1])
    for name, part in (("train on", stream), ("hold out", held_out)):
        if not len(part):
            raise TrainingError(f"{corpus}: too little text to {name}; add text, or change pretrain.held_out_share")
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


def _encoded(texts: Iterable[CorpusText], tokenizer: Tokenizer) -> Iterator[tuple[CorpusText, Ids]]:
    separator = token_id(tokenizer, SEP)
    for chunk in _chunks(texts):
        encoded = tokenizer.encode_batch([text.text for text in chunk], add_special_tokens=False)
        for text, encoding in zip(chunk, encoded, strict=True):
            yield text, np.array([*encoding.ids, separator], np.int32)


def _chunks(texts: Iterable[CorpusText]) -> Iterator[list[CorpusText]]:
    chunk: list[CorpusText] = []
    for text in texts:
        chunk.append(text)
        if len(chunk) == _TEXTS_AT_ONCE:
            yield chunk
            chunk = []
    yield chunk


def _pack(tokens: list[Ids], tokenizer: Tokenizer, length: int) -> Ids:
    body = length - 1
    ids = np.concatenate([np.empty(0, np.int32), *tokens])
    ids = ids[: len(ids) // body * body].reshape(-1, body)
    return np.insert(ids, 0, token_id(tokenizer, CLS), axis=1)


def _save(file: Path, ids: Ids) -> None:
    part = file.with_suffix(".part")
    with part.open("wb") as stream:
        np.save(stream, ids)
    part.replace(file)
