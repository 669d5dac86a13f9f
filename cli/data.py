"""`policy-topics data`: look at labelled paragraphs before they are trained on, and divide them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from configs.settings import Settings, load_settings
from configs.taxonomy import MOST_TOPICS, load_taxonomy
from policy_topics.errors import DataError
from train.check import RARE, Report, check
from train.dataset import LabelledParagraph, read
from train.duplicates import Pair
from train.split import Split, split

app = typer.Typer(no_args_is_help=True, help="检查与划分标注数据。Check and split labelled paragraphs.")

_SHOWN = 20
"""Places that are listed under a finding; the rest is counted."""

_WIDTH = 240
"""Columns of the output where it is no terminal, so that no table row is broken."""


def _distinct(files: list[Path]) -> list[Path]:
    if len({file.resolve() for file in files}) < len(files):
        raise typer.BadParameter("同一文件只写一次。Name each file once.")
    return files


Files = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILE",
        help="标注数据（JSONL）。Labelled paragraphs, one JSON object a line.",
        exists=True,
        dir_okay=False,
        callback=_distinct,
    ),
]


@app.command("check")
def check_command(context: typer.Context, files: Files) -> None:
    """检查标注数据并报告。Validate labelled data and report.

    退出码 Exit code: 0 无错误 no faults, 1 有行无法读取 some rows cannot be read (each is named), 2 用法错误 wrong use.
    """
    console = _console()
    similarity = _settings(context).data.duplicate_similarity
    with console.status("检查中… Checking…"):
        report = check(files, load_taxonomy(), similarity)
    _print_files(console, report)
    _print_topics(console, report)
    _print_findings(console, report, similarity)
    if report.faults:
        raise typer.Exit(1)


@app.command("split")
def split_command(
    context: typer.Context,
    files: Files,
    out: Annotated[
        Path, typer.Option("--out", file_okay=False, help="写入 train/dev/test.jsonl 的目录。Folder to write into.")
    ],
    force: Annotated[bool, typer.Option("--force", help="覆盖已有文件。Overwrite what is there.")] = False,
) -> None:
    """划分为 train、dev、test：同一文档与近似文本不拆开。Split into train, dev and test; shares are in the settings.

    每行原样写出。Lines are written as they were read. Documents and near-duplicates are never divided.
    """
    settings = _settings(context).data
    targets = [out / f"{part}.jsonl" for part in Split._fields]
    present = [str(target) for target in targets if target.exists()]
    if present and not force:
        raise typer.BadParameter(
            f"{', '.join(present)} 已存在，用 --force 覆盖。 exists; use --force to overwrite.", param_hint="--out"
        )
    taxonomy = load_taxonomy()
    try:
        rows = read(files, taxonomy)
    except DataError as fault:
        typer.echo(f"{fault}\n未写出任何文件。Nothing was written.", err=True)
        raise typer.Exit(1) from None
    try:
        parts = split(
            rows,
            dev_share=settings.dev_share,
            test_share=settings.test_share,
            similarity=settings.duplicate_similarity,
            seed=settings.split_seed,
        )
    except DataError as fault:
        raise typer.BadParameter(str(fault)) from None
    out.mkdir(parents=True, exist_ok=True)
    for target, part in zip(targets, parts, strict=True):
        _write(target, part)
        typer.echo(f"{target}: {len(part)} 段 paragraphs")
        absent = [topic for topic in taxonomy.ids if not any(topic in row.labels for row in part)]
        if absent:
            typer.echo(f"  没有这些主题 without these topics: {', '.join(absent)}")


def _settings(context: typer.Context) -> Settings:
    return context.obj if isinstance(context.obj, Settings) else load_settings()


def _write(target: Path, rows: Sequence[LabelledParagraph]) -> None:
    """Write whole or not at all."""
    unfinished = target.with_name(f".{target.name}.unfinished")
    unfinished.write_text("".join(f"{row.line.json}\n" for row in rows), "utf-8", newline="\n")
    os.replace(unfinished, target)


def _console() -> Console:
    console = Console(highlight=False, markup=False, soft_wrap=True)
    return console if console.is_terminal else Console(highlight=False, markup=False, soft_wrap=True, width=_WIDTH)


def _table(console: Console, title: str, text_columns: Sequence[str], number_columns: Sequence[str]) -> Table:
    """A table; as Markdown where the output is no terminal, so that it can be read and pasted as it is."""
    console.print(f"\n{title}")
    table = Table(box=box.SIMPLE_HEAD if console.is_terminal else box.MARKDOWN)
    for column in text_columns:
        table.add_column(column, no_wrap=True)
    for column in number_columns:
        table.add_column(column, justify="right")
    return table


def _print_files(console: Console, report: Report) -> None:
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


def _print_topics(console: Console, report: Report) -> None:
    title = "各主题的段落数\nParagraphs that carry each topic"
    table = _table(console, title, ["主题 topic", "中文"], [*_names(report), "合计 total"])
    for topic in report.taxonomy.topics:
        counts = report.topics[topic.id]
        table.add_row(topic.id, topic.zh, *map(str, [*counts, sum(counts)]))
    console.print(table)


def _names(report: Report) -> list[str]:
    """Short names of the files; whole paths where two files have the same name."""
    names = [file.stem for file in report.files]
    return names if len(set(names)) == len(names) else [str(file) for file in report.files]


def _print_findings(console: Console, report: Report, similarity: float) -> None:
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


def _pair(report: Report, pair: Pair) -> str:
    first, second = report.rows[pair.first], report.rows[pair.second]
    return f"{first.line} ≈ {second.line} ({pair.similarity:.2f})"


def _conflict(report: Report, pair: Pair) -> str:
    first, second = report.rows[pair.first], report.rows[pair.second]
    return f"{_pair(report, pair)}: [{_listed(first.labels)}] / [{_listed(second.labels)}]"


def _incomplete(report: Report) -> Iterable[str]:
    for index, (file, rows) in enumerate(report.rows_of.items()):
        absent = [topic for topic, counts in report.topics.items() if not counts[index]]
        if absent and rows:
            yield f"{file}: {_listed(absent)}"


def _listed(words: Iterable[str]) -> str:
    return ", ".join(words)
