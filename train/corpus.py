"""Raw text for pre-training: files of lines, cleaned, weighted by source, a few texts held out."""

from __future__ import annotations

import gzip
import lzma
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from zlib import crc32

from policy_topics.errors import TrainingError
from policy_topics.text import clean

_OPENERS: dict[str, Callable[..., IO[str]]] = {".xz": lzma.open, ".gz": gzip.open, ".txt": open}
_LONGEST_TEXT = 64
"""Lines of one text; a file without blank lines is cut into texts of so many lines."""


@dataclass(frozen=True, slots=True)
class CorpusText:
    """Consecutive clean lines of one source."""

    text: str
    held_out: bool


def read_corpus(folder: Path, weights: Mapping[str, float], held_out_share: float) -> Iterator[CorpusText]:
    """The texts of a folder's `.txt`, `.txt.xz` and `.txt.gz` files, in the files' order.

    A text is a run of lines between blank lines. Which texts are taken (`weights`: the share by source name, 1 where
    not named) and which are held out depends on their words alone, so it is the same in every run.

    Raises:
        TrainingError: the folder holds no such file.
    """
    files = sorted(f for f in folder.glob("*.txt*") if f.suffix in _OPENERS)
    if not files:
        raise TrainingError(f"{folder}: no .txt, .txt.xz or .txt.gz file to pre-train on")
    for file in files:
        weight = weights.get(file.name.split(".")[0], 1.0)
        for lines in _texts(file):
            lot = crc32(lines.encode("utf-8")) / 2**32
            if lot < weight and (text := clean(lines).text):
                yield CorpusText(text, held_out=lot < held_out_share * weight)


def _texts(file: Path) -> Iterator[str]:
    lines: list[str] = []
    with _OPENERS[file.suffix](file, "rt", encoding="utf-8", errors="replace") as stream:
        for line in stream:
            if line.strip():
                lines.append(line)
            if lines and (not line.strip() or len(lines) == _LONGEST_TEXT):
                yield "".join(lines)
                lines = []
    if lines:
        yield "".join(lines)
