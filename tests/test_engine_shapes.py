"""Batches come in few shapes, so that an engine is prepared for each of them, and within the tokens of the settings."""

from __future__ import annotations

import itertools
import random

import pytest

from policy_topics.engine import batches, most_rows, padded, rounded


def test_rows_are_rounded_down_to_few_numbers() -> None:
    assert sorted({rounded(rows) for rows in range(1, 33)}) == [1, 2, 3, 4, 6, 8, 12, 16, 24, 32]
    assert all(rounded(rows) <= rows < 2 * rounded(rows) for rows in range(1, 500))


def test_widths_hold_the_text_and_are_few() -> None:
    assert all(length <= padded(length) <= max(length + 7, 1.25 * length) for length in range(1, 513))
    assert len({padded(length) for length in range(1, 385)}) == 20


def test_batches_of_any_texts_have_few_shapes_within_the_budget() -> None:
    chance = random.Random(5)
    shapes = set()
    for _ in range(300):
        lengths = [chance.randint(3, 384) for _ in range(chance.randint(1, 200))]
        made = list(batches(lengths, 1024))
        assert sorted(itertools.chain.from_iterable(made)) == list(range(len(lengths)))
        shapes |= {(len(batch), padded(max(lengths[i] for i in batch))) for batch in made}
    assert all(rows * width <= 1024 for rows, width in shapes)
    assert len(shapes) <= 150


@pytest.mark.parametrize(("longest", "rows"), [(384, 1), (300, 1), (128, 4), (30, 16), (8, 64)])
def test_a_batch_has_as_many_rows_as_fit(longest: int, rows: int) -> None:
    assert most_rows(longest, 512) == rows
