"""What a training reads: paragraphs to train on, dev and test, of which no two share a paragraph or a document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from configs.settings import DataSettings, resolve
from configs.taxonomy import Taxonomy
from policy_topics.errors import TrainingError
from train.dataset import LabelledParagraph, read
from train.progress import Say
from train.split import without_leaks


@dataclass(frozen=True, slots=True)
class TrainingData:
    rows: list[LabelledParagraph]
    """To train on."""
    held_out: dict[str, list[LabelledParagraph]]
    """dev and test."""
    left_out: list[LabelledParagraph]
    """Not trained on, for they stand in dev or test too."""


def read_training_data(settings: DataSettings, taxonomy: Taxonomy, say: Say) -> TrainingData:
    """Read the files that the settings name, and leave out, by name, what stands in a part that judges it.

    Raises:
        DataError: a file that cannot be read, or a line of it.
        TrainingError: nothing is left to train on, or to calibrate on.
    """
    rows, every_dev, test = (
        _read(files, taxonomy) for files in (settings.files, settings.dev_files, settings.test_files)
    )
    if not every_dev:
        raise TrainingError("no dev paragraphs to stop, calibrate and set thresholds on; set data.dev_files")
    # when to stop, the calibration and the thresholds are learnt from dev: what test judges may not be in it either
    dev, dev_left_out = without_leaks(every_dev, test, settings.duplicate_similarity)
    if not dev:
        raise TrainingError("every dev paragraph stands in test too; give others with --dev, or set data.dev_files")
    if not any(row.labels for row in dev):
        raise TrainingError("no dev paragraph carries a topic, so nothing can be calibrated; label some")
    rows, left_out = without_leaks(rows, [*every_dev, *test], settings.duplicate_similarity)
    if not rows:
        raise TrainingError("every training paragraph stands in dev or test too; give others with --data")
    say(f"{len(rows)} paragraphs to train on, {len(dev)} dev, {len(test)} test")
    if dev_left_out:
        say(f"left out of dev, for they stand in test too: {_places(dev_left_out)}")
    if left_out:
        say(f"left out of training, for they stand in dev or test too: {_places(left_out)}")
    return TrainingData(rows, {"dev": dev, "test": test}, left_out)


def _read(files: Sequence[Path], taxonomy: Taxonomy) -> list[LabelledParagraph]:
    return read([resolve(file) for file in files], taxonomy)


def _places(rows: Sequence[LabelledParagraph]) -> str:
    return ", ".join(str(row.line) for row in rows)
