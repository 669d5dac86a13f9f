"""A run's folder belongs to one set of settings and data, so that going on with it is safe."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from policy_topics.durable import write_whole
from policy_topics.errors import TrainingError


def claim(folder: Path, facts: Mapping[str, Any]) -> None:
    """Make a run's folder, or go on with it.

    Args:
        facts: what must be the same for a run to go on; JSON values.

    Raises:
        TrainingError: the folder holds a run with other facts; the message names them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "run.json"
    if file.exists():
        before = json.loads(file.read_text("utf-8"))
        now = json.loads(json.dumps(facts))
        changed = sorted(key for key in {*before, *now} if before.get(key) != now.get(key))
        if changed:
            raise TrainingError(
                f"{folder} holds a run with other settings or data ({', '.join(changed)}); "
                "give another folder, or remove this one to start again"
            )
    else:
        write_json(file, facts)


def write_json(file: Path, content: Any) -> None:
    """Write a JSON file whole or not at all: a process may be killed at any moment."""
    write_whole(file, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
