"""`policy-topics data import`: labelled paragraphs from other programs' files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from configs.settings import Settings, resolve
from configs.taxonomy import load_taxonomy
from policy_topics.durable import write_whole
from policy_topics.errors import DataError
from train.import_report import ImportReport, Merged, Taken
from train.importing import COLUMNS, Imported, import_files

_SHOWN = 20
"""Notes that are listed; the rest is counted. What is refused is listed whole."""


def _columns(assignments: list[str] | None) -> dict[str, str]:
    """FIELD=COLUMN each."""
    mapping = {}
    for assignment in assignments or []:
        wanted, equals, column = assignment.partition("=")
        if wanted not in COLUMNS or not equals or not column:
            known = ", ".join(COLUMNS)
            raise typer.BadParameter(f"{assignment!r}: 写作 write FIELD=COLUMN, FIELD: {known}", param_hint="--map")
        if wanted in mapping:
            raise typer.BadParameter(f"{wanted} 只能对应一列。Name one column for it.", param_hint="--map")
        mapping[wanted] = column
    return mapping


def import_command(
    context: typer.Context,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="JSONL、CSV、Parquet、Excel，或 Label Studio、doccano、Argilla 的导出。"
            "JSONL, CSV, Parquet, Excel; exports of Label Studio, doccano and Argilla.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", dir_okay=False, help="写入的 JSONL。JSONL file to write.")],
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--map", metavar="FIELD=COLUMN", help="列名对应，如 text=正文。Which column is which; repeatable."
        ),
    ] = None,
    separator: Annotated[
        str | None,
        typer.Option("--separator", help="一格多个主题之间的分隔符，缺省自动识别。What parts the topics of a cell."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", dir_okay=False, help="逐条记录的 JSON 报告。An account of each record.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="覆盖已有文件。Overwrite what is there.")] = False,
) -> None:
    """导入标注数据。Import labelled paragraphs into the form that training reads.

    退出码 Exit code: 0 全部导入 all taken, 1 有记录被拒（逐条列出）some refused (each is named), 2 用法错误 wrong use.

    文本相同、标注也相同的合并；文本相同而标注不同的都不收，由人决定。
    Records of one text are merged where their topics agree, and all refused where they do not.
    """
    mapping = _columns(columns)
    if out.resolve() in {file.resolve() for file in files}:
        raise typer.BadParameter("不能写回所读的文件。It is one of the files to read.", param_hint="--out")
    refuse_existing(out, force, "--out")
    console = Console(highlight=False, markup=False, soft_wrap=True)
    settings: Settings = context.obj
    taxonomy = load_taxonomy(resolve(settings.taxonomy))
    with console.status("导入中… Importing…"):
        imported = import_files(files, taxonomy, mapping, separator)
    finish(console, imported, out, report)


def refuse_existing(out: Path, force: bool, name: str) -> None:
    if out.exists() and not force:
        raise typer.BadParameter(f"{out} 已存在，用 --force 覆盖。 exists; use --force to overwrite.", param_hint=name)


def finish(console: Console, imported: Imported, out: Path, report: Path | None) -> None:
    """Print the account, write the paragraphs and, on request, the account; exit with 1 where some were refused."""
    _print(console, imported.report)
    if imported.rows:
        write_or_explain(out, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in imported.rows))
        console.print(f"\n{out}: {len(imported.rows)} 段 paragraphs")
    else:
        console.print("\n没有可收的记录，未写出任何文件。Nothing could be taken; no file was written.")
    if report:
        write_or_explain(report, json.dumps(imported.report.model_dump(), ensure_ascii=False, indent=1) + "\n")
        console.print(f"报告 report: {report}")
    if imported.report.refused or not imported.rows:
        raise typer.Exit(1)


def write_or_explain(file: Path, content: str) -> None:
    """Write a file whole or not at all.

    Raises:
        DataError: it cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, content)
    except OSError as fault:
        raise DataError(f"{file}: cannot be written: {fault.strerror}; it is as it was before") from None


def _print(console: Console, report: ImportReport) -> None:
    for source in report.sources:
        console.print(
            f"{source.place}: {source.format}{f', {source.encoding}' if source.encoding else ''}; "
            f"{source.records} 条 records = {source.taken} 收 taken "
            f"+ {source.merged} 并 merged + {source.refused} 拒 refused"
        )
        console.print("  " + ", ".join(f"{wanted} ← {column}" for wanted, column in source.columns.items()))
        if source.columns_left_out:
            console.print(f"  未用的列 columns left out: {', '.join(source.columns_left_out)}")
    kept: list[Taken | Merged] = [*report.taken, *report.merged]
    findings: list[tuple[str, Sequence[str], int | None]] = [
        ("整表说明 Notes on files", report.notes, None),
        (
            "按名称读作主题 Names read as topics",
            [f"{each.written} → {each.topic} ({each.times})" for each in report.spellings],
            _SHOWN,
        ),
        (
            "说明 Notes",
            [f"{each.place}: {note}" for each in kept for note in each.notes],
            _SHOWN,
        ),
        ("合并 Merged", [f"{each.place} → {each.into}" for each in report.merged], _SHOWN),
        ("拒收 Refused", [f"{each.place}: {'; '.join(each.reasons)}" for each in report.refused], None),
    ]
    for name, places, most in findings:
        console.print(f"- {name}: {len(places)}")
        for place in places[:most]:
            console.print(f"  - {place}")
        if most is not None and len(places) > most:
            console.print(f"  - … 另有 and {len(places) - most} more (--report)")
