"""Labelled paragraphs from wherever people labelled them, into the form that training reads, with an account of each.

Every record is taken, merged into another of the same text, or refused with its reasons. What is taken has passed the
very checks that training makes.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from configs.taxonomy import Taxonomy
from policy_topics.text import clean
from train.dataset import Line, scan_records
from train.formats import FormatError, Record, Table, Unreadable, Votes, read_tables
from train.import_report import ImportReport, Merged, Refused, Source, Spelling, Taken
from train.settling import Candidate, agree_or_refuse
from train.topic_names import TopicNames, UnknownTopic

COLUMNS = {
    "text": ("text", "正文", "文本", "内容", "段落", "content", "paragraph"),
    "labels": ("labels", "label", "topics", "topic", "主题", "标签", "标注", "类别", "choices"),
    "id": ("id", "编号"),
    "document": ("document", "文档", "文件"),
    "date": ("date", "日期"),
    "genre": ("genre", "体裁"),
    "source": ("source", "来源"),
}
"""What a paragraph has, and the columns that are taken for it where nobody says otherwise, the first one found."""

_NEEDED = ("text", "labels")


@dataclass(frozen=True, slots=True)
class Imported:
    """Paragraphs in the form that training reads, each a JSON object, and the account of where they come from."""

    rows: tuple[dict[str, Any], ...]
    report: ImportReport


def import_files(
    files: Sequence[Path], taxonomy: Taxonomy, mapping: Mapping[str, str] | None = None, separator: str | None = None
) -> Imported:
    """Read files of any known format. Does not raise on bad data.

    Two records with the same clean text are merged where they carry the same topics, and both refused where they do
    not: which of them is right, only a person can say.

    Args:
        mapping: the column for each of `COLUMNS`, where it is not to be guessed.
        separator: what stands between the topics of a cell; None = any of the usual marks.
    """
    names = TopicNames(taxonomy, separator)
    candidates: list[Candidate] = []
    unread: list[Refused] = []
    notes: list[str] = []
    tables: list[tuple[Table, dict[str, str]]] = []
    for file in dict.fromkeys(files):
        try:
            found, skipped = _with_columns(read_tables(file), mapping or {})
        except FormatError as fault:
            unread.append(Refused(place=str(file), reasons=(str(fault),)))
            continue
        notes += skipped
        tables += found
        candidates += [
            _candidate(record, table, columns, names) for table, columns in found for record in table.records
        ]
    return settled(
        candidates,
        taxonomy,
        agree_or_refuse,
        sources=[_source(table, columns) for table, columns in tables],
        unread=unread,
        spellings=[
            Spelling(written=written, topic=topic, times=times)
            for (written, topic), times in sorted(names.spelt.items())
        ],
        notes=notes,
    )


def settled(
    candidates: Sequence[Candidate],
    taxonomy: Taxonomy,
    settle: Callable[[Sequence[Candidate]], None],
    sources: Sequence[Source],
    unread: Sequence[Refused] = (),
    spellings: Sequence[Spelling] = (),
    notes: Sequence[str] = (),
) -> Imported:
    """What becomes of candidates, after training's own checks.

    Args:
        settle: merges or refuses those of the same text.
        sources: the tables that they are of, not counted yet.
        unread, spellings, notes: for the account; see `ImportReport`.
    """
    _check(candidates, taxonomy)
    settle(candidates)
    _give_ids(candidates)
    taken = [each for each in candidates if not each.faults and each.into is None]
    report = ImportReport(
        sources=tuple(_counted(source, candidates) for source in sources),
        taken=tuple(Taken(place=each.place, line=i, notes=tuple(each.notes)) for i, each in enumerate(taken, start=1)),
        merged=tuple(
            Merged(place=each.place, into=each.into, notes=tuple(each.notes))
            for each in candidates
            if each.into is not None
        ),
        refused=(
            *unread,
            *(Refused(place=each.place, reasons=tuple(each.faults)) for each in candidates if each.faults),
        ),
        spellings=tuple(spellings),
        notes=tuple(notes),
    )
    rows = ({key: each.row[key] for key in COLUMNS if key in each.row} for each in taken)
    return Imported(tuple(rows), report)


def _with_columns(
    tables: Sequence[Table], mapping: Mapping[str, str]
) -> tuple[list[tuple[Table, dict[str, str]]], list[str]]:
    """Tables with their columns; sheets that hold no texts are left out with a note if another sheet does.

    Raises:
        FormatError: in none of the tables there are texts and labels.
    """
    found, faults = [], []
    for table in tables:
        try:
            found.append((table, _columns(table, mapping)))
        except FormatError as fault:
            faults.append(f"{table.place}: left out with its {len(table.records)} rows: {fault}")
            refusal = fault
    if not found:
        raise refusal
    return found, faults


def _columns(table: Table, mapping: Mapping[str, str]) -> dict[str, str]:
    """The table's column for each of `COLUMNS` that it has.

    Raises:
        FormatError: there is none for the text or the labels, or one that `mapping` names is not there.
    """
    present = {_plain(column): column for column in reversed(table.columns)}
    answers = [c for c in table.columns if any(isinstance(r.fields.get(c), Votes) for r in table.records)]
    columns = {}
    for wanted, usual in COLUMNS.items():
        if wanted == "labels" and len(answers) == 1 and wanted not in mapping:
            columns[wanted] = answers[0]
            continue
        for name in [mapping[wanted]] if wanted in mapping else usual:
            if _plain(name) in present:
                columns[wanted] = present[_plain(name)]
                break
    absent = [wanted for wanted in COLUMNS if wanted not in columns and (wanted in mapping or wanted in _NEEDED)]
    if absent and any(record.fault is None for record in table.records):
        there = ", ".join(table.columns) or "none"
        raise FormatError(
            f"has no column for {absent[0]} (there are: {there}); name it, as in --map {absent[0]}=COLUMN"
        )
    return columns


def _candidate(record: Record, table: Table, columns: Mapping[str, str], names: TopicNames) -> Candidate:
    """The record's row, labels read; or what is wrong with it."""
    candidate = Candidate(record.place, table.place, notes=list(record.notes))
    if record.fault is not None:
        candidate.faults.append(record.fault)
        return candidate
    for wanted, column in columns.items():
        value = record.fields.get(column)
        if isinstance(value, Unreadable):
            candidate.faults.append(f"{column}: {value}")
        elif wanted != "labels" and value is not None:
            candidate.row[wanted] = _written(value)
    given = record.fields.get(columns["labels"])
    if candidate.faults:
        return candidate
    try:
        candidate.row["labels"] = _labels(record.unanswered if given is None else given, names, candidate.notes)
    except UnknownTopic as fault:
        candidate.faults.append(str(fault))
    text = candidate.row.get("text")
    if table.encoding and table.encoding.endswith("replaced)") and "\ufffd" in str(text):
        candidate.faults.append(f"holds bytes that are no {table.encoding.split()[0]}; save the file as UTF-8")
    return candidate


def _labels(given: Any, names: TopicNames, notes: list[str]) -> list[str]:
    """Topics of one answer; of several, those that at least half of the annotators gave, the most given first.

    At least half: with two annotators, what either gave; with three, what two gave.
    """
    if not isinstance(given, Votes):
        return names.read(given)
    answers = [names.read(answer) for answer in given.given]
    votes = Counter(topic for answer in answers for topic in answer)
    rank = {topic: min(answer.index(topic) for answer in answers if topic in answer) for topic in votes}
    kept = [topic for topic in votes if 2 * votes[topic] >= len(answers)]
    kept.sort(key=lambda topic: (-votes[topic], rank[topic]))
    if any(set(answer) != set(answers[0]) for answer in answers):
        listed = " / ".join(f"[{', '.join(answer)}]" for answer in answers)
        notes.append(f"{len(answers)} annotators differ: {listed}; topics that half of them gave: [{', '.join(kept)}]")
    return kept


def _written(value: Any) -> Any:
    """Cells of a table as text: dates as ISO 8601, whole numbers without a point."""
    if isinstance(value, datetime):
        return value.date().isoformat()
    if isinstance(value, date):
        return value.isoformat()
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _check(candidates: Sequence[Candidate], taxonomy: Taxonomy) -> None:
    """Let the reader of training data look at what has no fault yet. Ids come later and are not looked at.

    What it refuses has its clean text, too: of which text it was is still of interest.
    """
    of_line = {f"{Line(number=i)}": each for i, each in enumerate(candidates) if not each.faults}
    records = [
        (Line(number=i), {key: value for key, value in each.row.items() if key != "id"})
        for i, each in enumerate(candidates)
        if not each.faults
    ]
    reading = scan_records(records, taxonomy)
    for remark in reading.faults:
        refused = of_line[remark.place]
        refused.faults.append(remark.message)
        refused.clean = clean(text).text if isinstance(text := refused.row.get("text"), str) else ""
    for remark in reading.warnings:
        of_line[remark.place].notes.append(remark.message)
    for row in reading.rows:
        candidates[row.line.number].clean = row.text


def _give_ids(candidates: Sequence[Candidate]) -> None:
    """An id that stands already gets a number behind it: training wants each one once."""
    used: set[str] = set()
    for each in candidates:
        if each.faults or each.into is not None or not str(each.row.get("id", "")).strip():
            each.row.pop("id", None)
            continue
        wanted = unique = "".join(c if c.isprintable() else "?" for c in str(each.row["id"]).strip())
        number = 1
        while unique in used:
            number += 1
            unique = f"{wanted}-{number}"
        if unique != wanted:
            each.notes.append(f"id {wanted} is another paragraph's already; it is {unique} now")
        used.add(unique)
        each.row["id"] = unique


def _source(table: Table, columns: Mapping[str, str]) -> Source:
    return Source(
        place=table.place,
        format=table.format,
        encoding=table.encoding,
        columns=dict(columns),
        columns_left_out=tuple(column for column in table.columns if column not in columns.values()),
    )


def _counted(source: Source, candidates: Sequence[Candidate]) -> Source:
    own = [each for each in candidates if each.table == source.place]
    refused, merged = sum(bool(each.faults) for each in own), sum(each.into is not None for each in own)
    counts = {"records": len(own), "taken": len(own) - refused - merged, "merged": merged, "refused": refused}
    return source.model_copy(update=counts)


def _plain(column: str) -> str:
    return unicodedata.normalize("NFKC", column).strip().casefold()
