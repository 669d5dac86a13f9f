"""`policy-topics gate`: whether a bundle may take the place of the one that serves."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from configs.settings import Settings, resolve
from policy_topics.bundle import load_bundle
from policy_topics.errors import TrainingError
from policy_topics.registry import Registry, open_registry, served_bundle
from train.verdict import Verdict, verdict_file, write_verdict

REFUSED = 3
"""Exit code of a training or gate whose bundle may not take the place of the one that serves."""

_WIDTH = 200
"""Columns of a table where there is no terminal."""


def gate(
    context: typer.Context,
    bundle: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="候选模型包。The bundle to judge.")],
    against: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="与之比较的模型包；默认为服务所用。By default what serves."),
    ] = None,
    test: Annotated[
        list[Path] | None,
        typer.Option("--test", exists=True, dir_okay=False, help="另加的测试数据，可重复。With data.test_files."),
    ] = None,
) -> None:
    """判定一个模型包能否取代服务所用者（data.test_files）。Judge whether a bundle may take the place of what serves.

    The verdict is written beside it, and beside the registry's copy. Exit code 3: refused.
    判定写在其旁（及模型库中）；被拒时退出码为 3。
    """
    needs_training()
    from train.dataset import read
    from train.gate import judge

    settings: Settings = context.obj
    rows = read(together(settings.data.test_files, test), load_bundle(bundle).taxonomy)
    verdict = judge(bundle, against or served_bundle(settings), rows, settings)
    write_verdict(verdict, bundle)
    if settings.registry is not None:
        keep(verdict, open_registry(settings))
    show(verdict, bundle)


def together(named: Sequence[Path], more: Sequence[Path] | None) -> list[Path]:
    """Files of the settings and those given, each once."""
    return list(dict.fromkeys(resolve(file).resolve() for file in [*named, *(more or [])]))


def keep(verdict: Verdict, registry: Registry) -> None:
    """Have the registry's copy of a version, if there is one, say the same as the folder that it comes from."""
    if verdict.candidate in registry:
        write_verdict(verdict, registry.path(verdict.candidate))


def show(verdict: Verdict, bundle: Path) -> None:
    """Print it.

    Raises:
        typer.Exit: it is a refusal.
    """
    table = Table("", "要求 demand", *(f"{n} {v}" for n, v in verdict.names), "差 difference", box=box.SIMPLE_HEAD)
    for rule in verdict.rules:
        mark = "✓" if rule.passed else "✗"
        table.add_row(f"{mark} {rule.name}", rule.demand, rule.incumbent, rule.candidate, rule.found)
    console = Console(width=None if sys.stdout.isatty() else _WIDTH, markup=False, highlight=False)
    console.print(f"{verdict.paragraphs} 段 paragraphs, {verdict.documents} 份文档 documents")
    console.print(table)
    for topic, metrics in verdict.new_topics.items():
        console.print(
            f"新主题 new topic {topic}: precision {metrics.precision:.3f}, recall {metrics.recall:.3f}, "
            f"F1 {metrics.f1:.3f}, {metrics.support} paragraphs"
        )
    notes = {
        "不再有的主题 topics that are no more": verdict.lost_topics,
        "测试文档过少、无法衡量的主题 topics of too few test documents to be measured": verdict.unmeasured_topics,
        "未试的行为测试 behaviour tests not tried, of topics that only one knows": verdict.behaviour_skipped,
        "新近失败的行为测试 behaviour tests that fail now": verdict.behaviour_failed,
    }
    for note, names in notes.items():
        if names:
            console.print(f"{note}: {', '.join(names)}")
    console.print(f"判定 verdict: {'通过 passed' if verdict.passed else '拒绝 refused'} ({verdict_file(bundle)})")
    if not verdict.passed:
        console.print("服务所用的模型包未变 what serves stays as it is")
        raise typer.Exit(REFUSED)


def needs_training() -> None:
    try:
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ModuleNotFoundError as missing:
        raise TrainingError(
            f"{missing.name} is not installed; training needs more than serving: make setup-train"
        ) from None
