"""What labelled files hold and what is doubtful about them. Faults are wrong; the rest is for a person to judge.

Files may be looked at beside others: those that are trained on already, and those that are frozen for testing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from configs.taxonomy import Taxonomy
from train.dataset import LabelledParagraph, Remark, scan
from train.duplicates import Components, Pair, near_duplicates
from train.split import connected

if TYPE_CHECKING:
    from train.drift import Drift
    from train.label_errors import Suspect

RARE = 30
"""A topic with fewer paragraphs than this, all files together, is named in the report: with a tenth of them in dev,
its threshold would be set on two or three examples."""


@dataclass(frozen=True)
class Leak:
    """A row that the frozen files hold too, by its text or its document.

    Attributes:
        row, frozen: indices into `rows`: the row, and the frozen one that it is connected with.
        reason: "text" or "document".
    """

    row: int
    frozen: int
    reason: Literal["text", "document"]


@dataclass(frozen=True)
class Checked:
    """The result of `check`.

    Attributes:
        rows: the paragraphs without a fault, all files together.
        faults: what is wrong, by place; the paragraphs concerned are not in `rows`.
        warnings: what cleaning leaves out of paragraphs, by place.
        repeats: rows that repeat an earlier row, exactly or nearly, as indices into `rows`.
        against: those of the files that are there to compare with.
        frozen: those of the files that no training may see.
    """

    taxonomy: Taxonomy
    files: tuple[Path, ...]
    rows: tuple[LabelledParagraph, ...]
    faults: tuple[Remark, ...]
    warnings: tuple[Remark, ...]
    repeats: tuple[Pair, ...]
    against: frozenset[Path] = frozenset()
    frozen: frozenset[Path] = frozenset()

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
        """Topics with fewer than `RARE` paragraphs outside the frozen files, and how many they have."""
        kept = [i for i, file in enumerate(self.files) if file not in self.frozen]
        counts = {topic: sum(counts[i] for i in kept) for topic, counts in self.topics.items()}
        return {topic: count for topic, count in counts.items() if count < RARE}

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

    @cached_property
    def leaks(self) -> tuple[Leak, ...]:
        """Rows outside the frozen files of which a text like theirs, or their document, is in the frozen files."""
        like = self._like
        texts: dict[int, int] = {}
        named: dict[str, int] = {}
        for index in self._indices(self.frozen):
            texts.setdefault(like.root(index), index)
            if (document := self.rows[index].document) is not None:
                named.setdefault(document, index)
        leaks = []
        for index in self._indices(set(self.files) - self.frozen):
            document = self.rows[index].document
            if like.root(index) in texts:
                leaks.append(Leak(index, texts[like.root(index)], "text"))
            elif document is not None and document in named:
                leaks.append(Leak(index, named[document], "document"))
        return tuple(leaks)

    @cached_property
    def suspects(self) -> tuple[Suspect, ...]:
        """Rows with doubtful labels, the most suspicious first. Those to compare with teach, and are not listed.

        Takes seconds for a thousand rows, and minutes for ten thousand.
        """
        from train.label_errors import suspects  # imports torch

        taught = [*self._indices(self.new), *self._indices(self.against)]
        rows = [self.rows[i] for i in taught]
        first_of: dict[int, int] = {}
        repeats = [(first_of.setdefault(self._like.root(index), i), i) for i, index in enumerate(taught)]
        listed = len(self._indices(self.new))
        found = suspects(rows, connected(rows, repeats), self.taxonomy)
        return tuple(replace(each, row=taught[each.row]) for each in found if each.row < listed)

    @cached_property
    def drift(self) -> Drift | None:
        """The new rows against those to compare with; none where either is missing."""
        from train.drift import drift  # imports torch

        new, old = ([self.rows[i] for i in self._indices(files)] for files in (self.new, self.against))
        return drift(new, old, self.taxonomy)

    @property
    def new(self) -> frozenset[Path]:
        """The files that are to be judged."""
        return frozenset(self.files) - self.against - self.frozen

    @cached_property
    def _like(self) -> Components:
        """Rows that repetitions connect."""
        like = Components(len(self.rows))
        for pair in self.repeats:
            like.join(pair.first, pair.second)
        return like

    def _indices(self, files: Set[Path]) -> list[int]:
        return [index for index, row in enumerate(self.rows) if row.line.file in files]

    def _differ(self, pair: Pair) -> bool:
        first, second = self.rows[pair.first].labels, self.rows[pair.second].labels
        return set(first) != set(second) or first[:1] != second[:1]


def check(
    files: Sequence[Path],
    taxonomy: Taxonomy,
    similarity: float,
    against: Sequence[Path] = (),
    frozen: Sequence[Path] = (),
) -> Checked:
    """Read labelled files and look for what is wrong or doubtful. Does not raise on bad data.

    Args:
        similarity: Jaccard similarity from which two texts are near-duplicates.
        against: files of paragraphs that are trained on already, to compare with.
        frozen: files of paragraphs that no training may see.
    """
    every = tuple(dict.fromkeys([*files, *against, *frozen]))
    reading = scan(every, taxonomy)
    repeats = near_duplicates([row.text for row in reading.rows], similarity)
    return Checked(
        taxonomy=taxonomy,
        files=every,
        rows=tuple(reading.rows),
        faults=tuple(reading.faults),
        warnings=tuple(reading.warnings),
        repeats=tuple(repeats),
        against=frozenset(against),
        frozen=frozenset(frozen),
    )
