"""What a run came to: `summary.json`, `summary.html`, and the quarantine report, all out of the ledger.

The page's plots are SVG that its template draws, so that serving installs no plotting library.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import IO

from pydantic import BaseModel

from configs.taxonomy import Taxonomy
from serve.archive.faults import Fault
from serve.archive.ledger import Ledger, Model
from serve.archive.output import write_output
from serve.archive.progress import RunProgress

QUARANTINE = "quarantine.jsonl"
_TEMPLATE = "summary.html.j2"
LISTED = 1000
"""Inputs in quarantine that the page lists; the report has all."""

MOST_GROUPS = 60
"""Months and sources that the page shows; summary.json has all that were counted."""


class Share(BaseModel):
    """Paragraphs that carry a topic, and those whose first topic it is."""

    paragraphs: int
    primary: int


class Group(BaseModel):
    """A month or a source."""

    paragraphs: int
    topics: dict[str, int]


class Run(BaseModel):
    """The run that ended just now."""

    paragraphs: int
    seconds: float
    paragraphs_per_second: float
    inputs_done_before: int


class Summary(BaseModel):
    """All that is in an output folder; `run` is of the last run alone."""

    model: str
    version: str
    taxonomy: int
    written: datetime
    run: Run
    seconds: float
    """Of all runs that came to their end."""
    inputs: int
    inputs_done: int
    inputs_in_quarantine: int
    paragraphs: int
    paragraphs_without_topic: int
    parts: int
    lines_left_out: int
    inputs_with_replaced_bytes: int
    topics: dict[str, Share]
    months: dict[str, Group]
    sources: dict[str, Group]
    confidence: list[int]
    """Paragraphs by the probability of their most probable topic, in equal steps from 0 to 1."""
    quarantine: dict[str, int]
    """Inputs by what is wrong with them."""


def summarise(ledger: Ledger, model: Model, taxonomy: Taxonomy, progress: RunProgress) -> Summary:
    tally = ledger.tally()
    groups = [
        {
            name: Group(paragraphs=counts[""], topics={id: n for id, n in counts.most_common() if id})
            for name, counts in sorted(each.items())
        }
        for each in (tally.months, tally.sources)
    ]
    return Summary(
        model=model.name,
        version=model.version,
        taxonomy=model.taxonomy,
        written=datetime.now(UTC),
        run=Run(
            paragraphs=progress.paragraphs,
            seconds=round(progress.seconds, 1),
            paragraphs_per_second=round(progress.speed(), 1),
            inputs_done_before=progress.skipped,
        ),
        seconds=round(ledger.seconds(), 1),
        paragraphs_without_topic=tally.without_topic,
        topics={id: Share(paragraphs=tally.topics[id], primary=tally.primary[id]) for id in taxonomy.ids},
        months=groups[0],
        sources=groups[1],
        confidence=tally.confidence,
        quarantine=ledger.quarantine_codes(),
        **ledger.totals(),
    )


def write_summary(summary: Summary, ledger: Ledger, taxonomy: Taxonomy, out: Path) -> None:
    """Write the report, the summary and its page."""

    def report(stream: IO[bytes]) -> None:
        for name, fault in ledger.quarantine():
            line = {"input": name, "code": fault.code, "reason": fault.reason}
            stream.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")

    write_output(out / QUARANTINE, report)
    write_output(out / "summary.json", summary.model_dump_json(indent=1) + "\n")
    page = _page(summary, taxonomy, list(islice(ledger.quarantine(), LISTED)))
    write_output(out / "summary.html", page)


def _page(summary: Summary, taxonomy: Taxonomy, quarantine: list[tuple[str, Fault]]) -> str:
    import jinja2

    template = Path(__file__).with_name(_TEMPLATE).read_text("utf-8")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    topics = sorted(summary.topics.items(), key=lambda item: -item[1].paragraphs)
    largest = sorted(summary.sources.items(), key=lambda item: -item[1].paragraphs)[:MOST_GROUPS]
    return environment.from_string(template).render(
        summary=summary,
        names={topic.id: topic for topic in taxonomy.topics},
        topics=[(id, share) for id, share in topics if share.paragraphs],
        stacked=[id for id, _ in topics[:STACKED]],
        months=list(summary.months.items())[-MOST_GROUPS:],
        sources=largest,
        colours=COLOURS,
        quarantine=quarantine,
        more=sum(summary.quarantine.values()) - len(quarantine),
    )


STACKED = 8
"""Topics, the most frequent, that the plots by month and by source tell apart."""

COLOURS = ("#1f5fa8", "#b3372f", "#23744a", "#c98a1b", "#6b4c9a", "#2a8c9c", "#c05a8e", "#7a6a4f")
