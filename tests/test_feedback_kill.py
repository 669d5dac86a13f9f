"""A kill of the service while corrections come in; `benchmarks.feedback` does it with more clients."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import feedback
from policy_topics.feedback.store import Store


def test_every_acknowledged_correction_survives_a_kill_exactly_once(tmp_path: Path, tiny_bundle: Path) -> None:
    url = f"sqlite:///{tmp_path / 'feedback.db'}"
    outcome = feedback.run(url, clients=20, each=5, bundle=tiny_bundle)
    assert len(outcome.before_kill) >= 50
    assert sorted(outcome.acknowledged) == sorted(correction.id for correction in Store(url).read())
    assert len(outcome.acknowledged) == 100
    assert outcome.statuses[0], "no connection broke: there was no kill"


def test_a_lost_correction_would_be_found(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'feedback.db'}")
    store.add([[]])
    with pytest.raises(RuntimeError, match="lost"):
        feedback._check(store.name, ["never stored"], "in the end")
