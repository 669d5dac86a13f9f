"""Which version serves, as the outcome of every promotion and rollback: one small JSON file, replaced as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from configs.taxonomy import faults_of
from policy_topics.durable import write_whole
from policy_topics.errors import RegistryError

FORMAT: Final = 1

Mark = tuple[int, int, int] | None


class Promotion(BaseModel):
    """One change of what serves."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: datetime
    action: Literal["promote", "rollback"]
    version: str | None
    """Promoted from then on; none after a rollback of the first promotion."""


class _Content(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = FORMAT
    history: tuple[Promotion, ...] = ()


class Promotions:
    """The file of promotions and rollbacks; without it there were none yet."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def history(self) -> tuple[Promotion, ...]:
        """Every change, the first one first.

        Raises:
            RegistryError: the file cannot be read.
        """
        try:
            return _Content.model_validate_json(self._file.read_bytes()).history
        except FileNotFoundError:
            return ()
        except (OSError, ValidationError) as fault:
            told = faults_of(fault) if isinstance(fault, ValidationError) else fault
            raise RegistryError(
                f"{self._file}: cannot be read: {told}; move it away (the versions stay) and promote one again"
            ) from None

    def standing(self) -> list[str]:
        """Versions that were promoted and not rolled back, the promoted one last.

        Raises:
            RegistryError: the file cannot be read.
        """
        standing: list[str] = []
        for change in self.history():
            if change.action == "promote" and change.version:
                standing.append(change.version)
            else:
                del standing[-1:]
        return standing

    def promote(self, version: str) -> None:
        """Note a promotion. Of what is promoted already the history takes no note, but `mark` changes."""
        if self.standing()[-1:] == [version]:
            self._write(self.history())
        else:
            self._record("promote", version)

    def rollback(self) -> None:
        """Note that what stands before the promoted version serves again."""
        before = self.standing()[-2:-1]
        self._record("rollback", before[0] if before else None)

    def mark(self) -> Mark:
        """Another one after every change; costs one look at the file's date."""
        try:
            file = self._file.stat()
        except OSError:
            return None
        return file.st_ino, file.st_mtime_ns, file.st_size

    def _record(self, action: Literal["promote", "rollback"], version: str | None) -> None:
        at = datetime.now(UTC).replace(microsecond=0)
        self._write((*self.history(), Promotion(at=at, action=action, version=version)))

    def _write(self, history: Sequence[Promotion]) -> None:
        write_whole(self._file, _Content(history=tuple(history)).model_dump_json(indent=1) + "\n")
