"""`policy-topics data`: look at labelled paragraphs before they are trained on, and divide them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from cli.feedback import from_feedback_command
from cli.findings import console_for_tables, print_report
from cli.importing import import_command
from cli.suggest import suggest_command
from configs.settings import Settings, resolve
from configs.taxonomy import load_taxonomy
from policy_topics.durable import write_whole
from policy_topics.errors import DataError
from train.check import check
from train.dataset import LabelledParagraph, read
from train.split import Split, split

app = typer.Typer(
    no_args_is_help=True, help="导入、挑选、检查与划分标注数据。Import, pick, check and split labelled paragraphs."
)
app.command("import")(import_command)
app.command("from-feedback")(from_feedback_command)
app.command("suggest")(suggest_command)


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


Beside = Annotated[
    list[Path] | None,
    typer.Option(
        "--against",
        exists=True,
        dir_okay=False,
        help="已在训练的数据，与之比较（可重复）。Data trained on already, to compare with; repeatable.",
    ),
]
Frozen = Annotated[
    list[Path] | None,
    typer.Option(
        "--frozen",
        exists=True,
        dir_okay=False,
        help="训练不得见到的测试数据（可重复）。Test data that no training may see; repeatable.",
    ),
]


@app.command("check")
def check_command(
    context: typer.Context,
    files: Files,
    against: Beside = None,
    frozen: Frozen = None,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            file_okay=False,
            help="写入 report.html 与 report.json 的目录，报告引用段落原文。"
            "Folder for the report; it quotes paragraphs.",
        ),
    ] = None,
) -> None:
    """检查标注数据并报告。Validate labelled data and report.

    用 --report 时另找可疑的标注，用 --against 时与旧数据比较。With --report, doubtful labels are looked for, too.

    退出码 Exit code: 0 无错误 no faults, 1 有行无法读取 some rows cannot be read (each is named), 2 用法错误 wrong use.
    """
    settings: Settings = context.obj
    against, frozen = against or [], frozen or []
    _distinct([*files, *against, *frozen])
    console = console_for_tables()
    similarity = settings.data.duplicate_similarity
    with console.status("检查中… Checking…"):
        checked = check(files, load_taxonomy(resolve(settings.taxonomy)), similarity, against, frozen)
    print_report(console, checked, similarity)
    if report:
        from train.check_report import write_check_report  # imports what draws

        with console.status("寻找可疑的标注… Looking for doubtful labels…"):
            write_check_report(checked, similarity, report)
        console.print(f"报告 report: {report / 'report.html'}")
    if checked.faults:
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
    settings: Settings = context.obj
    targets = [out / f"{part}.jsonl" for part in Split._fields]
    present = [str(target) for target in targets if target.exists()]
    if present and not force:
        raise typer.BadParameter(
            f"{', '.join(present)} 已存在，用 --force 覆盖。 exists; use --force to overwrite.", param_hint="--out"
        )
    taxonomy = load_taxonomy(resolve(settings.taxonomy))
    try:
        rows = read(files, taxonomy)
    except DataError as fault:
        typer.echo(f"{fault}\n未写出任何文件。Nothing was written.", err=True)
        raise typer.Exit(1) from None
    try:
        parts = split(
            rows,
            dev_share=settings.data.dev_share,
            test_share=settings.data.test_share,
            similarity=settings.data.duplicate_similarity,
            seed=settings.data.split_seed,
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


def _write(target: Path, rows: Sequence[LabelledParagraph]) -> None:
    """Write whole or not at all."""
    write_whole(target, "".join(f"{row.line.json}\n" for row in rows))
