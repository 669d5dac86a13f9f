"""Why an input, or a part of one, was not scored: each fault with a `code` that the quarantine report counts by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from policy_topics.errors import PolicyTopicsError


@dataclass(frozen=True, slots=True)
class Fault:
    """One line of the quarantine report. `reason` names the fault and the fix."""

    code: str
    reason: str


class Refused(PolicyTopicsError):
    """An input that is not read, or not to its end. The message does not name it: the report does."""

    code: ClassVar[str] = "refused"


class Damaged(Refused):
    code: ClassVar[str] = "damaged"


class Encrypted(Refused):
    code: ClassVar[str] = "encrypted"


class Bomb(Refused):
    """It unpacks to so much more than it is packed that it was made to fill disks."""

    code: ClassVar[str] = "bomb"


class UnsafePath(Refused):
    """A packed file whose name leads out of its archive, or that is a link."""

    code: ClassVar[str] = "unsafe_path"


class NestedArchive(Refused):
    code: ClassVar[str] = "nested_archive"


class TooLarge(Refused):
    code: ClassVar[str] = "too_large"


class Unsupported(Refused):
    code: ClassVar[str] = "unsupported_type"


class NoConverter(Refused):
    """An old Word file where no program is installed that reads one."""

    code: ClassVar[str] = "no_converter"


class NoText(Refused):
    code: ClassVar[str] = "no_text"


class MissingColumn(Refused):
    code: ClassVar[str] = "missing_column"


class Duplicate(Refused):
    """A further input of one name with other content than the first; `number` tells them apart, from 2 on."""

    code: ClassVar[str] = "duplicate_name"

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Unreachable(Refused):
    code: ClassVar[str] = "unreachable"


class OutputError(PolicyTopicsError):
    """An output folder that this run must not write to."""

    code: ClassVar[str] = "output"
