"""The README's own examples, run on the model that is in the repository."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from configs.settings import EMBEDDED, HOME, load_settings
from policy_topics.classifier import Classifier
from serve.app import create_app
from tests.listening import listening

README = (HOME / "README.md").read_text("utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def run(*command: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("POLICY_TOPICS_")}
    done = subprocess.run(command, cwd=HOME, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def service() -> Iterator[str]:
    settings = load_settings(None, {"bundle": EMBEDDED})
    with listening(create_app(settings, lambda: Classifier.load(EMBEDDED, settings.engine))) as url:
        yield url


def test_the_example_of_the_client_finds_the_topic(service: str) -> None:
    example = EXAMPLES[0].replace("http://127.0.0.1:3000", service)
    assert run(sys.executable, "-c", example).startswith("agriculture (")


def test_the_example_without_a_service_finds_the_topic() -> None:
    assert run(sys.executable, "-c", EXAMPLES[1]).startswith("agriculture (")


def test_the_command_line_example_reads_the_example_document() -> None:
    assert "policy-topics classify examples/meeting.txt" in README
    out = run(sys.executable, "-m", "cli.main", "classify", "examples/meeting.txt")
    assert "防汛" in out
    assert "xué" not in out
