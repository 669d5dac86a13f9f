"""What a run is to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from configs.settings import Settings


class Where(StrEnum):
    """Where the work is done."""

    local = "local"
    ray = "ray"


class Form(StrEnum):
    """A form of the output beside Parquet."""

    jsonl = "jsonl"
    csv = "csv"


@dataclass(frozen=True, slots=True)
class Job:
    """What to score, where to, with what.

    Attributes:
        addresses: files, folders, globs, addresses of fsspec.
        ray_address: of a Ray cluster; None starts Ray on this machine.
        forms: further forms of the output, beside those that it has already.
    """

    addresses: Sequence[str]
    out: Path
    bundle: Path
    settings: Settings
    where: Where = Where.local
    ray_address: str | None = None
    forms: Sequence[Form] = ()
