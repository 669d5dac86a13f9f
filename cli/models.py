"""`policy-topics models`: what a bundle says of itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from configs.settings import Settings, resolve
from policy_topics.bundle import load_bundle

app = typer.Typer(no_args_is_help=True, help="模型包。Model bundles.")


@app.callback()
def models() -> None:
    """模型包。Model bundles."""


@app.command("show")
def show(
    context: typer.Context,
    bundle: Annotated[
        Path | None,
        typer.Argument(help="模型包目录；默认为服务所用。Folder of a bundle; the service's own by default."),
    ] = None,
) -> None:
    """核对并展示一个模型包。Verify a bundle and show what it is."""
    settings: Settings = context.obj
    opened = load_bundle(bundle or resolve(settings.bundle))
    manifest = opened.manifest
    table = Table("", "", show_header=False, title=Text(f"{opened.name} {opened.version}"), title_justify="left")
    size = sum((opened.path / name).stat().st_size for name in manifest.files)
    rows = {
        "folder 目录": str(opened.path),
        "taxonomy 主题体系": f"version {manifest.taxonomy}, {len(opened.taxonomy.topics)} topics",
        "engine file 引擎文件": manifest.precision,
        "window 窗口": f"{manifest.max_tokens} tokens",
        "parent 父版本": manifest.parent or "–",
        "data 数据指纹": manifest.data_fingerprint[:12],
        "libraries 依赖版本": ", ".join(f"{name} {version}" for name, version in manifest.libraries.items()),
        "files 文件": f"{len(manifest.files)}, {size / 1e6:.1f} MB, all verified 均已核对",
    }
    metrics = opened.metrics()
    for split in ("dev", "test"):
        if not (figures := metrics.get(split)):
            continue
        rows[split] = (
            f"micro-F1 {figures['micro_f1']:.4f}, macro-F1 {figures['macro_f1']:.4f}, "
            f"ECE {figures['ece']:.4f}, {figures['paragraphs']} paragraphs"
        )
    for row in rows.items():
        table.add_row(*row)
    Console(markup=False, highlight=False).print(table)
