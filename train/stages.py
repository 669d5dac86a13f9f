"""What an encoder was pre-trained on, stage by stage: a small file beside its weights, which bundles carry on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from train.runs import write_json

_FILE = "pretraining.json"


@dataclass(frozen=True, slots=True)
class Stage:
    """One run of pre-training.

    Attributes:
        tokens: read in all its steps.
        held_out_loss: at its end, in nats a masked token.
        layers, hidden, vocabulary: the encoder's shape.
        learning_rate: at its peak.
    """

    tokens: int
    held_out_loss: float
    layers: int
    hidden: int
    vocabulary: int
    learning_rate: float


def stages_of(folder: Path) -> tuple[Stage, ...]:
    """The stages of the encoder or bundle in a folder; none where nothing is known of them."""
    file = folder / _FILE
    return tuple(Stage(**stage) for stage in json.loads(file.read_text("utf-8"))) if file.is_file() else ()


def write_stages(folder: Path, stages: Sequence[Stage]) -> None:
    """Write them down beside the weights; nothing where there are none."""
    if stages:
        write_json(folder / _FILE, [asdict(stage) for stage in stages])
