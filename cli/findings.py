"""What `policy-topics data check` prints: tables and findings, as Markdown where the output is no terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from statistics import median

from rich import box
from rich.console import Console
from rich.table import Table

from configs.taxonomy import MOST_TOPICS
from train.check import RARE, Checked, Leak
from train.duplicates import Pair

_SHOWN = 20
"""Places that are listed under a finding; the rest is counted."""

_WIDTH = 240
"""Columns of the output where it is no terminal, so that no table row is broken."""


def console_for_tables() -> Console:
    """A console that leaves what it is given as it is."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    return console if console.is_terminal else Console(highlight=False, markup=False, soft_wrap=True, width=_WIDTH)


def print_report(console: Console, report: Checked, similarity: float) -> None:
    """Counts, then each finding with its places. `similarity`: that the report was made with."""
    _print_files(console, report)
    _print_topics(console, report)
    _print_findings(console, report, similarity)


def _table(console: Console, title: str, text_columns: Sequence[str], number_columns: Sequence[str]) -> Table:
    """A table; as Markdown where the output is no terminal, so that it can be read and pasted as it is."""
    console.print(f"\n{title}")
    table = Table(box=box.SIMPLE_HEAD if console.is_terminal else box.MARKDOWN)
    for column in text_columns:
        table.add_column(column, no_wrap=True)
    for column in number_columns:
        table.add_column(column, justify="right")
    return table


def _print_files(console: Console, report: Checked) -> None:
    labels = range(MOST_TOPICS + 1)
    table = _table(
        console,
        f"段落数，其中有 0 至 {MOST_TOPICS} 个主题的各多少；文档数；清洗后字数的中位数、95% 分位数和最大值\n"
        f"Paragraphs, of which so many carry 0 to {MOST_TOPICS} topics; documents; characters of clean text",
        ["文件 file"],
        ["段落 all", *map(str, labels), "文档 docs", "字数 median", "95 %", "max"],
    )
    for name, rows in zip(_names(report), report.rows_of.values(), strict=True):
        counts = [sum(len(row.labels) == n for row in rows) for n in labels]
        documents = len({row.document for row in rows if row.document is not None})
        sizes = sorted(len(row.text) for row in rows) or [0]
        spread = [round(median(sizes)), sizes[int(0.95 * (len(sizes) - 1))], sizes[-1]]
        table.add_row(name, *map(str, [len(rows), *counts, documents, *spread]))
    console.print(table)


def _print_topics(console: Console, report: Checked) -> None:
    title = "各主题的段落数\nParagraphs that carry each topic"
    table = _table(console, title, ["主题 topic", "中文"], [*_names(report), "合计 total"])
    for topic in report.taxonomy.topics:
        counts = report.topics[topic.id]
        table.add_row(topic.id, topic.zh, *map(str, [*counts, sum(counts)]))
    console.print(table)


def _names(report: Checked) -> list[str]:
    """Short names of the files; whole paths where two files have the same name."""
    names = [file.stem for file in report.files]
    return names if len(set(names)) == len(names) else [str(file) for file in report.files]


def _print_findings(console: Console, report: Checked, similarity: float) -> None:
    exact = [pair for pair in report.repeats if pair.exact]
    near = [pair for pair in report.repeats if not pair.exact]
    findings: list[tuple[str, Sequence[str]]] = [
        ("完全重复 Exact duplicates", [_pair(report, pair) for pair in exact]),
        (f"近似重复 Near-duplicates (≥ {similarity:g})", [_pair(report, pair) for pair in near]),
        ("重复但标注不同 Duplicates with other labels", [_conflict(report, pair) for pair in report.conflicts]),
        ("文本跨文件（泄漏） Texts in two files (a leak)", [_pair(report, pair) for pair in report.shared_texts]),
        (
            "文档跨文件（泄漏） Documents in two files (a leak)",
            [f"{document}: {_listed(map(str, files))}" for document, files in report.shared_documents.items()],
        ),
        (
            "冻结的数据中也有（训练会略去，请删除） In the frozen files too (training leaves them out; delete them)",
            [_leak(report, leak) for leak in report.leaks],
        ),
        (
            f"少于 {RARE} 段的主题 Topics with fewer than {RARE} paragraphs",
            [f"{topic}: {count}" for topic, count in report.rare_topics.items()],
        ),
        ("主题不全的文件 Files without some topics", list(_incomplete(report))),
        ("清洗时略去的行 Lines that cleaning leaves out", [str(warning) for warning in report.warnings]),
        ("错误 Faults", [str(fault) for fault in report.faults]),
    ]
    console.print()
    for name, places in findings:
        console.print(f"- {name}: {len(places)}")
        for place in islice(places, _SHOWN):
            console.print(f"  - {place}")
        if len(places) > _SHOWN:
            console.print(f"  - … 另有 and {len(places) - _SHOWN} more")


def _pair(report: Checked, pair: Pair) -> str:
    first, second = report.rows[pair.first], report.rows[pair.second]
    return f"{first.line} ≈ {second.line} ({pair.similarity:.2f})"


def _leak(report: Checked, leak: Leak) -> str:
    row, frozen = report.rows[leak.row], report.rows[leak.frozen]
    return f"{row.line} ≈ {frozen.line}" if leak.reason == "text" else f"{row.line}: {row.document} ({frozen.line})"


def _conflict(report: Checked, pair: Pair) -> str:
    first, second = report.rows[pair.first], report.rows[pair.second]
    return f"{_pair(report, pair)}: [{_listed(first.labels)}] / [{_listed(second.labels)}]"


def _incomplete(report: Checked) -> Iterable[str]:
    for index, (file, rows) in enumerate(report.rows_of.items()):
        absent = [topic for topic, counts in report.topics.items() if not counts[index]]
        if absent and rows:
            yield f"{file}: {_listed(absent)}"


def _listed(words: Iterable[str]) -> str:
    return ", ".join(words)
