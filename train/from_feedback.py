"""Corrections out of the feedback store, into the form that training reads, with an account of each."""

from __future__ import annotations

from collections.abc import Sequence

from configs.taxonomy import Taxonomy
from policy_topics.feedback.corrections import Correction
from train.import_report import Source
from train.importing import Imported, settled
from train.settling import Candidate, latest_then_majority

_COLUMNS = {"text": "text", "labels": "new", "id": "id", "document": "document"}
_LEFT_OUT = ("old", "model", "version", "taxonomy", "time", "who")


def import_corrections(corrections: Sequence[Correction], store: str, taxonomy: Taxonomy) -> Imported:
    """Settle corrections of the same text (`latest_then_majority`). Does not raise on bad data.

    Args:
        corrections: in the order of storing.
        store: its name, for the account.
    """
    candidates = [_candidate(correction, store) for correction in corrections]
    source = Source(place=store, format="feedback", encoding=None, columns=_COLUMNS, columns_left_out=_LEFT_OUT)
    return settled(candidates, taxonomy, latest_then_majority, [source])


def _candidate(correction: Correction, store: str) -> Candidate:
    row = {
        "id": correction.id,
        "text": correction.text,
        "labels": list(correction.new),
        "document": correction.document,
        "source": "feedback",
    }
    who = correction.who or "no name"
    return Candidate(
        place=f"{correction.id} ({who}, {correction.time:%Y-%m-%d %H:%M})",
        table=store,
        row={key: value for key, value in row.items() if value is not None},
        who=correction.who,
    )
