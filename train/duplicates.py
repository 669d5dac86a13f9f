"""Texts that say the same thing twice: MinHash finds the candidates, the exact Jaccard similarity decides.

MinHash and its banding: A. Broder, "On the resemblance and containment of documents", 1997; J. Leskovec,
A. Rajaraman, J. Ullman, "Mining of Massive Datasets", chapter 3.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

SHINGLE = 5
"""Characters in one shingle."""

_PERMUTATIONS = 128
_MISSED = 1e-6
"""Chance at most that a pair exactly at the wanted similarity is no candidate."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two texts, by their index, of which the second repeats the first.

    Attributes:
        similarity: Jaccard similarity of their shingles, 0 to 1.
        exact: they are the same string.
    """

    first: int
    second: int
    similarity: float
    exact: bool


class Components:
    """Connected components of 0 … n-1 (union-find with path halving); a component goes by its smallest member."""

    def __init__(self, n: int) -> None:
        self._parent = list(range(n))

    def root(self, i: int) -> int:
        while self._parent[i] != i:
            self._parent[i] = i = self._parent[self._parent[i]]
        return i

    def join(self, i: int, j: int) -> bool:
        """Connect two members; False if they were connected already."""
        low, high = sorted((self.root(i), self.root(j)))
        self._parent[high] = low
        return low != high


def shingles(text: str) -> frozenset[str]:
    """The runs of `SHINGLE` characters of a text; a shorter text is its own single shingle."""
    return frozenset(text[i : i + SHINGLE] for i in range(max(1, len(text) - SHINGLE + 1)))


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """Size of the intersection by size of the union; the sets are not both empty."""
    common = len(one & other)
    return common / (len(one) + len(other) - common)


def near_duplicates(texts: Sequence[str], similarity: float) -> list[Pair]:
    """Pairs of clean texts whose Jaccard similarity is at least `similarity` (over 0, at most 1).

    Not every such pair but enough to connect all texts that a chain of them connects: so the number of pairs is the
    number of texts that repeat another one, and stays small when a text stands there a thousand times. The same
    texts in the same order give the same pairs.
    """
    first_of: dict[str, int] = {}
    pairs = []
    for index, text in enumerate(texts):
        first = first_of.setdefault(text, index)
        if first != index:
            pairs.append(Pair(first, index, 1.0, exact=True))

    sets = {index: shingles(text) for text, index in first_of.items()}
    components = Components(len(texts))
    for earlier, later in _candidates(sets, similarity):
        if components.root(earlier) == components.root(later):
            continue
        value = jaccard(sets[earlier], sets[later])
        if value >= similarity:
            components.join(earlier, later)
            pairs.append(Pair(earlier, later, value, exact=False))
    return sorted(pairs, key=lambda pair: (pair.first, pair.second))


def _candidates(sets: dict[int, frozenset[str]], similarity: float) -> Iterator[tuple[int, int]]:
    from datasketch import MinHash, MinHashLSH  # takes a second to import

    index = MinHashLSH(num_perm=_PERMUTATIONS, params=_bands(similarity))
    encoded = ([shingle.encode() for shingle in one] for one in sets.values())
    hashes = MinHash.generator(encoded, num_perm=_PERMUTATIONS, seed=1, hashfunc=zlib.crc32)
    for later, hashed in zip(sets, hashes, strict=True):
        for earlier in sorted(index.query(hashed)):
            yield earlier, later
        index.insert(later, hashed)


def _bands(similarity: float) -> tuple[int, int]:
    """Number of bands and of rows in a band: the most rows (the fewest candidates) that still miss hardly any pair."""
    for rows in range(_PERMUTATIONS // 2, 1, -1):  # the index wants two bands at least
        bands = _PERMUTATIONS // rows
        if (1 - similarity**rows) ** bands <= _MISSED:
            return bands, rows
    return _PERMUTATIONS, 1
