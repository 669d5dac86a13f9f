"""`policy-topics data from-feedback`: corrections to train on."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cli.importing import finish, refuse_existing
from configs.settings import Settings, resolve, resolve_database
from configs.taxonomy import load_taxonomy
from train.from_feedback import import_corrections


def from_feedback_command(
    context: typer.Context,
    out: Annotated[Path, typer.Argument(metavar="OUT.jsonl", dir_okay=False, help="写入的 JSONL。File to write.")],
    url: Annotated[
        str | None, typer.Option("--url", help="更正库，默认为 feedback.url。The store; by default feedback.url.")
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            "--since",
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"],
            help="只取此时（UTC）及以后的更正。Only corrections from this time (UTC) on.",
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", dir_okay=False, help="逐条记录的 JSON 报告。An account of each record.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="覆盖已有文件。Overwrite what is there.")] = False,
) -> None:
    """把更正变成训练数据。Make training data of the corrections that the service has stored.

    同一文本：每人以最后一次为准，各人之间取多数；票数相同的都不收，并逐条列出。
    Of one text, each person's last word counts, and of those the majority; where there is none, all are refused.

    退出码 Exit code: 0 全部收下 all taken, 1 有更正被拒（逐条列出）some refused (each is named), 2 用法错误 wrong use.
    """
    from policy_topics.feedback.store import Store  # takes a second

    refuse_existing(out, force, "OUT.jsonl")
    settings: Settings = context.obj
    console = Console(highlight=False, markup=False, soft_wrap=True)
    store = Store(resolve_database(url or settings.feedback.url))
    corrections = store.read(since.replace(tzinfo=UTC) if since else None)
    imported = import_corrections(corrections, store.name, load_taxonomy(resolve(settings.taxonomy)))
    finish(console, imported, out, report)
