"""The README's own examples, run on the model that is in the repository."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from configs.settings import HOME

README = (HOME / "README.md").read_text("utf-8")


def run(*command: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("POLICY_TOPICS_")}
    done = subprocess.run(command, cwd=HOME, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_python_example_finds_the_topic() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert run(sys.executable, "-c", example).startswith("agriculture (")


def test_the_command_line_example_reads_the_example_document() -> None:
    assert "policy-topics classify examples/meeting.txt" in README
    out = run(sys.executable, "-m", "cli.main", "classify", "examples/meeting.txt")
    assert "防汛" in out
    assert "xué" not in out


@pytest.mark.parametrize("path", re.findall(r"\]\(([^)#:]+)\)", README))
def test_what_the_readme_links_to_is_there(path: str) -> None:
    assert (HOME / path).exists()
