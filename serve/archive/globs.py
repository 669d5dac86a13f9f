"""Globs, matched folder by folder on the way down, so that a walk enters only what a pattern may lead to.

`**` is no folder or several. What is in a matched folder is matched as well. Hidden names must be asked for with their
dot.
"""

from __future__ import annotations

import glob
from collections.abc import Sequence
from fnmatch import fnmatchcase

Pattern = tuple[str, ...]
"""A glob below a folder, a part for each folder on the way. The empty one matches the folder itself."""


def split(parts: Sequence[str]) -> tuple[Sequence[str], Pattern]:
    """The parts of a path before the first that has signs of a glob, and the others."""
    plain = next((number for number, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    return parts[:plain], tuple(parts[plain:])


def within(patterns: set[Pattern]) -> set[Pattern]:
    """Patterns for what is in a folder, of those that led to it."""
    while more := {pattern[1:] for pattern in patterns if pattern[:1] == ("**",)} - patterns:
        patterns = patterns | more
    return patterns


def behind(name: str, hidden: bool, patterns: set[Pattern]) -> set[Pattern]:
    """What is left of patterns behind a name: nothing if none matches, an empty one where a pattern is at its end."""
    left = set()
    for pattern in patterns:
        if pattern[:1] in ((), ("**",)):
            left |= set() if hidden else {pattern}
        elif fnmatchcase(name, pattern[0]) and (pattern[0].startswith(".") or not hidden):
            left.add(pattern[1:])
    return left


def one_by_one(patterns: set[Pattern]) -> bool:
    """Whether each part that comes next stands for one folder, so that following it comes to an end."""
    return all(pattern and pattern[0] != "**" for pattern in patterns)
