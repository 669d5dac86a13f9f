"""Dividing labelled paragraphs into train, dev and test, so that what a model is tested on it has not seen.

Paragraphs of one document and near-duplicates stay together; every topic is spread over the three in proportion.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from policy_topics.errors import DataError
from train.dataset import LabelledParagraph
from train.duplicates import Components, near_duplicates

_NO_TOPIC = ""
"""Stands for the missing topic of paragraphs without any, which are spread like a topic."""


class Split(NamedTuple):
    """Three lists that share no document and no near-duplicate, each in the order of the input."""

    train: list[LabelledParagraph]
    dev: list[LabelledParagraph]
    test: list[LabelledParagraph]


def split(
    rows: Sequence[LabelledParagraph], *, dev_share: float, test_share: float, similarity: float, seed: int
) -> Split:
    """Divide paragraphs; the same rows, shares and seed give the same split.

    Args:
        dev_share, test_share: shares of the paragraphs; train gets the rest.
        similarity: Jaccard similarity from which two texts are near-duplicates.

    Raises:
        DataError: the shares leave nothing for train.
    """
    if dev_share + test_share >= 1:
        raise DataError(
            f"data.dev_share {dev_share} and data.test_share {test_share} leave nothing to train on; "
            "make their sum smaller than 1"
        )
    groups = inseparable(rows, similarity)
    random.Random(seed).shuffle(groups)
    groups.sort(key=len, reverse=True)  # stable: large groups first, so that small ones can even them out
    parts = _stratify(
        [Counter(topic for i in group for topic in rows[i].labels or [_NO_TOPIC]) for group in groups],
        [len(group) for group in groups],
        [1 - dev_share - test_share, dev_share, test_share],
    )
    members: list[list[int]] = [[], [], []]
    for group, part in zip(groups, parts, strict=True):
        members[part].extend(group)
    return Split(*([rows[i] for i in sorted(part)] for part in members))


def inseparable(rows: Sequence[LabelledParagraph], similarity: float) -> list[list[int]]:
    """Indices of the rows in groups: a chain of shared documents and near-duplicates connects each group."""
    return connected(
        rows, ((pair.first, pair.second) for pair in near_duplicates([row.text for row in rows], similarity))
    )


def connected(rows: Sequence[LabelledParagraph], repeats: Iterable[tuple[int, int]]) -> list[list[int]]:
    """`inseparable` where the near-duplicates are known."""
    components = Components(len(rows))
    first_of: dict[str, int] = {}
    for index, row in enumerate(rows):
        if row.document is not None:
            components.join(first_of.setdefault(row.document, index), index)
    for first, second in repeats:
        components.join(first, second)
    groups: dict[int, list[int]] = {}
    for index in range(len(rows)):
        groups.setdefault(components.root(index), []).append(index)
    return list(groups.values())


def without_leaks(
    rows: Sequence[LabelledParagraph], held_out: Sequence[LabelledParagraph], similarity: float
) -> tuple[list[LabelledParagraph], list[LabelledParagraph]]:
    """Rows that are like no row of `held_out`, nor from one of their documents; and the rest, which leak."""
    groups = inseparable([*rows, *held_out], similarity)
    leaks = {i for group in groups if max(group) >= len(rows) for i in group if i < len(rows)}
    return [row for i, row in enumerate(rows) if i not in leaks], [rows[i] for i in sorted(leaks)]


def _stratify(groups: Sequence[Counter[str]], sizes: Sequence[int], shares: Sequence[float]) -> list[int]:
    """The part that each group goes to, given its paragraphs per topic and their number.

    Iterative stratification (K. Sechidis, G. Tsoumakas, I. Vlahavas, "On the Stratification of Multi-Label Data",
    ECML PKDD 2011): the topic with the fewest groups left is served first, and a group goes to the part that still
    wants that topic most. Two changes: groups take the place of single examples, and a part that would otherwise
    be left without a topic comes before one that merely wants more of it.
    """
    parts = [part for part, share in enumerate(shares) if share > 0]
    totals = sum(groups, Counter())
    wanted = {part: {topic: shares[part] * count for topic, count in totals.items()} for part in parts}
    room = {part: shares[part] * sum(sizes) for part in parts}
    lacking = {topic: set(parts) for topic in totals}
    left = Counter(topic for group in groups for topic in group)  # groups not yet placed, per topic
    waiting = dict(enumerate(groups))
    placed = [0] * len(groups)

    while waiting:
        topic = min(left, key=lambda topic: (left[topic], topic))
        index, group = next((i, group) for i, group in waiting.items() if topic in group)
        scarce = [t for t in group if left[t] <= len(lacking[t])]
        part = max(parts, key=lambda part: (sum(part in lacking[t] for t in scarce), wanted[part][topic], room[part]))
        placed[index] = part
        del waiting[index]
        room[part] -= sizes[index]
        for t, count in group.items():
            wanted[part][t] -= count
            lacking[t].discard(part)
            left[t] -= 1
            if not left[t]:
                del left[t]
    return placed
