"""BentoML's supervisor, which looks after the worker every second instead of every ten.

A worker that was killed is back ten seconds sooner. BentoML has no setting for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NoReturn

LOOK_SECONDS = 1


def supervise(arguments: Sequence[str]) -> NoReturn:
    """Be `bentoml serve` with these arguments, and end when it does."""
    from bentoml._internal.utils import circus
    from bentoml_cli.cli import cli

    circus.create_standalone_arbiter = partial(circus.create_standalone_arbiter, check_delay=LOOK_SECONDS)
    cli.main(["serve", *arguments], prog_name="bentoml")
    raise SystemExit(0)
