"""What labelled files hold and what is doubtful about them. Faults are wrong; the rest is for a person to judge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from configs.taxonomy import Taxonomy
from train.dataset import LabelledParagraph, Remark, scan
from train.duplicates import Pair, near_duplicates

RARE = 30
"""A topic with fewer paragraphs than this, all files together, is named in the report: with a tenth of them in dev,
its threshold would be set on two or three examples."""


@dataclass(frozen=True)
class Report:
    """The result of `check`.

    Attributes:
        rows: the paragraphs without a fault, all files together.
        faults: what is wrong, by place; the paragraphs concerned are not in `rows`.
        warnings: what cleaning leaves out of paragraphs, by place.
        repeats: rows that repeat an earlier row, exactly or nearly, as indices into `rows`.
    """

    taxonomy: Taxonomy
    files: tuple[Path, ...]
    rows: tuple[LabelledParagraph, ...]
    faults: tuple[Remark, ...]
    warnings: tuple[Remark, ...]
    repeats: tuple[Pair, ...]

    @cached_property
    def rows_of(self) -> dict[Path, list[LabelledParagraph]]:
        """The rows of each file, in the order of the files."""
        rows: dict[Path, list[LabelledParagraph]] = {file: [] for file in self.files}
        for row in self.rows:
            rows[row.line.file].append(row)
        return rows

    @cached_property
    def topics(self) -> dict[str, tuple[int, ...]]:
        """For each topic id, how many paragraphs of each file carry it."""
        counts = [Counter(label for row in rows for label in row.labels) for rows in self.rows_of.values()]
        return {topic: tuple(count[topic] for count in counts) for topic in self.taxonomy.ids}

    @property
    def rare_topics(self) -> dict[str, int]:
        """Topics with fewer than `RARE` paragraphs, and how many they have."""
        return {topic: sum(counts) for topic, counts in self.topics.items() if sum(counts) < RARE}

    @property
    def conflicts(self) -> tuple[Pair, ...]:
        """Repeated texts that carry other topics, or another primary one, the second time."""
        return tuple(pair for pair in self.repeats if self._differ(pair))

    @property
    def shared_texts(self) -> tuple[Pair, ...]:
        """Repeated texts of which the two copies stand in two files."""
        return tuple(
            pair for pair in self.repeats if self.rows[pair.first].line.file != self.rows[pair.second].line.file
        )

    @cached_property
    def shared_documents(self) -> dict[str, tuple[Path, ...]]:
        """Documents that stand in more than one file, with these files."""
        files: dict[str, dict[Path, None]] = {}
        for row in self.rows:
            if row.document is not None:
                files.setdefault(row.document, {})[row.line.file] = None
        return {document: tuple(found) for document, found in files.items() if len(found) > 1}

    def _differ(self, pair: Pair) -> bool:
        first, second = self.rows[pair.first].labels, self.rows[pair.second].labels
        return set(first) != set(second) or first[:1] != second[:1]


def check(files: Sequence[Path], taxonomy: Taxonomy, similarity: float) -> Report:
    """Read labelled files and look for what is wrong or doubtful. Does not raise on bad data.

    Args:
        similarity: Jaccard similarity from which two texts are near-duplicates.
    """
    reading = scan(files, taxonomy)
    repeats = near_duplicates([row.text for row in reading.rows], similarity)
    return Report(
        taxonomy=taxonomy,
        files=tuple(dict.fromkeys(files)),
        rows=tuple(reading.rows),
        faults=tuple(reading.faults),
        warnings=tuple(reading.warnings),
        repeats=tuple(repeats),
    )
