"""`policy-topics score`: archives to Parquet, resumable."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cli.extras import require
from configs.settings import Settings
from policy_topics.registry import served_bundle
from serve.archive.job import Form, Job, Where


def _folder(text: str) -> Path:
    if "://" in text:
        raise typer.BadParameter(
            f"{text} 不是本机目录，请写入本机目录，完成后再复制。 is no folder of this machine; name one, and copy it "
            "when all is done."
        )
    return Path(text)


def score(
    context: typer.Context,
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="IN…", help="文件、目录、通配符、压缩包或 s3:// 等地址。Files, folders, globs, archives, addresses."
        ),
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", parser=_folder, help="输出目录。Folder to write to; the same goes on.")
    ],
    also: Annotated[
        list[Form] | None, typer.Option("--also", help="另外输出 JSONL 或 CSV。Write these too, beside Parquet.")
    ] = None,
    engine: Annotated[
        Where, typer.Option("--engine", help="本机进程，或 Ray。In-process, or on Ray Data.")
    ] = Where.local,
    ray_address: Annotated[
        str | None,
        typer.Option("--ray-address", help="Ray 集群地址；默认在本机启动。A Ray cluster's; default: this machine."),
    ] = None,
) -> None:
    """批量标注，结果写成 Parquet；中断后同样的命令接着做。Archives to Parquet; after a kill the same command goes on.

    退出码 Exit code: 0 完成 done, 1 有输入无法读取 some inputs could not be read, 2 用法错误 wrong use.
    """
    settings: Settings = context.obj
    if ray_address and engine is not Where.ray:
        raise typer.BadParameter("is for --engine ray", param_hint="--ray-address")
    require({"pyarrow": "archive", "fsspec": "archive"})
    if engine is Where.ray:
        require({"ray": "ray"})
    # Imported here: what serves needs none of it.
    from serve.archive.output import part_files
    from serve.archive.pipeline import run

    job = Job(inputs, out, served_bundle(settings), settings, engine, ray_address, also or ())
    for form in Form:  # told now, and not when all has been scored
        if (out / form).exists():
            part_files(out / form, form)
    console = Console(stderr=True, soft_wrap=True, markup=False, highlight=False)
    try:
        summary = run(job, console)
    except KeyboardInterrupt:
        console.print("已停止；用同样的命令接着做。Stopped; the same command goes on from here.")
        sys.exit(130)
    print(
        f"段 paragraphs {summary.paragraphs:,} · 输入 inputs {summary.inputs_done:,} · "
        f"本次 this run {summary.run.paragraphs:,}, {summary.run.paragraphs_per_second:,.0f}/s · {out / 'summary.html'}"
    )
    if summary.inputs_in_quarantine:
        console.print(
            f"{summary.inputs_in_quarantine} 个输入未能读全 could not be read to the end: {out / 'quarantine.jsonl'}",
            style="red",
        )
        raise typer.Exit(1)
