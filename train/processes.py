"""Training in several processes, as `torchrun` or `accelerate launch` start them. One alone is the first.

All read and train; the first alone writes and speaks.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import timedelta
from functools import cache

from accelerate import PartialState

from train.hardware import device

_PATIENCE = timedelta(days=2)
"""How long processes wait for each other: the first may label a whole corpus meanwhile."""


def is_first() -> bool:
    """Whether this process is the one that writes."""
    return bool(_state().is_main_process)


def count() -> int:
    """How many processes train together."""
    return int(_state().num_processes)


def first_before_others() -> AbstractContextManager[None]:
    """What stands in it is done by the first process before any other begins it."""
    context: AbstractContextManager[None] = _state().main_process_first()
    return context


def wait() -> None:
    """Until all processes are here."""
    _state().wait_for_everyone()


def part() -> None:
    """The last thing that processes do together: what comes after, each does alone."""
    if count() > 1:
        wait()
        _state().destroy_process_group()


@cache
def _state() -> PartialState:
    cpu = device().type == "cpu"
    return PartialState(cpu=cpu, timeout=_PATIENCE)
