"""`policy-topics models`: what a bundle says of itself, and the registry: what is in it and which version serves."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.gate import keep
from configs.settings import Settings
from policy_topics.bundle import Bundle, load_bundle, read_metrics
from policy_topics.errors import BundleError, RegistryError
from policy_topics.registry import Registry, open_registry, served_bundle
from train.verdict import Verdict, verdict_that_counts

app = typer.Typer(no_args_is_help=True, help="模型包与模型库。Model bundles and their registry.")

FIGURES = {
    "micro-F1": "micro_f1",
    "macro-F1": "macro_f1",
    "top-1 hit": "top1_hit",
    "ECE": "ece",
    "Brier": "brier",
    "段落 paragraphs": "paragraphs",
}
"""Headline figures of a split, by their names in `metrics.json`."""

SPLITS = ("test", "dev")
"""The first one that both bundles have is compared topic by topic."""

_SHOWN = 10
"""Promotions and rollbacks that are listed."""

_VERSION = typer.Argument(
    metavar="VERSION",
    help="版本（或其开头），或模型包目录。A version or its beginning, or the folder of a bundle.",
)
Version = Annotated[str, _VERSION]


@app.command("list")
def list_command(context: typer.Context) -> None:
    """列出模型库中的版本。The versions in the registry, and how the promoted one came to be."""
    registry = open_registry(context.obj)
    console = _console()
    entries = registry.versions()
    if not entries:
        console.print(f"模型库为空 the registry is empty: {registry.folder}")
        return
    table = Table("", "版本 version", "名称 name", "加入 added", "父版本 parent", *(f"{s} macro-F1" for s in SPLITS))
    for entry in entries:
        metrics = read_metrics(entry.path)
        table.add_row(
            "●" if entry.promoted else "",
            entry.version,
            Text(entry.name),
            _time(entry.created),
            entry.parent or "–",
            *(_figure(metrics.get(split, {}), "macro_f1") for split in SPLITS),
        )
    console.print(table)
    if not any(entry.promoted for entry in entries):
        console.print("● 尚未发布任何版本 nothing is promoted")
    for change in registry.history()[-_SHOWN:]:
        done = {"promote": "发布 promote ", "rollback": "回退 rollback"}[change.action]
        console.print(f"{_time(change.at)}  {done}  {change.version or '（内置模型 the embedded model）'}")


@app.command("show")
def show(context: typer.Context, bundle: Annotated[str | None, _VERSION] = None) -> None:
    """核对并展示一个模型包，默认为服务所用。Verify a bundle and show what it is; the served one by default."""
    settings: Settings = context.obj
    opened = load_bundle(_folder(settings, bundle) if bundle else served_bundle(settings))
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
    _console().print(table)


@app.command("compare")
def compare(context: typer.Context, first: Version, second: Version) -> None:
    """并列比较两个版本的指标。The metrics of two versions side by side, and of each topic, largest difference first."""
    settings: Settings = context.obj
    a, b = (load_bundle(_folder(settings, name)) for name in (first, second))
    console = _console()
    console.print(_headlines(a, b))
    of_a, of_b = a.metrics(), b.metrics()
    split = next((split for split in SPLITS if split in of_a and split in of_b), None)
    if split is None:
        console.print("两者没有共同的评测集，无法逐主题比较 no split was measured for both: topics are not compared")
        return
    if of_a[split]["paragraphs"] != of_b[split]["paragraphs"]:
        console.print(
            f"注意：两者在不同的 {split} 段落上评测 note: they were measured on different {split} paragraphs; "
            "`policy-topics evaluate` measures both on the same"
        )
    console.print(_topics(a, b, split))


@app.command("promote")
def promote(
    context: typer.Context,
    version: Version,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="即使会失去主题、评判未过或未与服务所用者比较。Also if topics are lost by it, or the gate refused it "
            "or compared it with another than what serves.",
        ),
    ] = False,
) -> None:
    """发布一个版本，运行中的服务随即接管。Make a version serve; services that run take it over.

    给出目录则先将其加入模型库。A folder is added to the registry first.
    """
    registry = open_registry(context.obj)
    bundle = _folder(context.obj, version)
    verdict = _ask_the_gate(context.obj, registry, bundle, force)
    known = registry.add(bundle) if _is_folder(version) else registry.find(version)
    if verdict:
        keep(verdict, registry)
    typer.echo(f"已发布 promoted: {registry.promote(known, force=force)}")


@app.command("rollback")
def rollback(context: typer.Context) -> None:
    """退回到此前的版本。Go back to what served before the promoted version; once more goes back one more."""
    typer.echo(f"已退回 rolled back; now serves: {open_registry(context.obj).rollback()}")


def _ask_the_gate(settings: Settings, registry: Registry, bundle: Path, force: bool) -> Verdict | None:
    """The verdict on a bundle. Refuse what the gate has refused, and what it has not compared with what serves now
    unless that has served before; say so where it has not judged."""
    version, serving = load_bundle(bundle).version, _serving(settings)
    folders = [bundle, registry.path(version)] if version in registry else [bundle]
    verdict = verdict_that_counts(version, folders, serving)
    if verdict:
        keep(verdict, registry)
    if verdict is None:
        typer.echo(f"未经评判 not judged by the gate; to judge it: policy-topics gate {bundle}", err=True)
    elif not (verdict.passed or force):
        failed = ", ".join(rule.name for rule in verdict.rules if not rule.passed)
        raise RegistryError(
            f"{bundle}: the gate has refused it ({failed}); train a better one, or promote with --force"
        )
    elif not force and serving not in (None, verdict.incumbent) and not registry.has_served(version):
        raise RegistryError(
            f"{bundle}: the gate has compared it with {verdict.incumbent}, but {serving} serves now; judge it again "
            f"(policy-topics gate {bundle}, with the --test that `train` had), or promote with --force"
        )
    return verdict


def _serving(settings: Settings) -> str | None:
    """The version that serves; none where that is broken: promoting another is the way out."""
    try:
        return load_bundle(served_bundle(settings)).version
    except (BundleError, RegistryError):
        return None


def _folder(settings: Settings, name: str) -> Path:
    return Path(name) if _is_folder(name) else open_registry(settings).path(name)


def _is_folder(name: str) -> bool:
    """Whether a folder is meant. A version has no slash; write ./name for a folder that is called like one."""
    return "/" in name or Path(name).is_dir()


def _headlines(a: Bundle, b: Bundle) -> Table:
    table = Table("")
    for column in (*(Text(f"{bundle.name} {bundle.version}") for bundle in (a, b)), Text("差 difference")):
        table.add_column(column, justify="right")
    of_a, of_b = a.metrics(), b.metrics()
    for split in SPLITS:
        for name, key in FIGURES.items():
            figures = of_a.get(split, {}), of_b.get(split, {})
            if any(key in each for each in figures):
                table.add_row(f"{split} {name}", *(_figure(each, key) for each in figures), _difference(*figures, key))
    return table


def _topics(a: Bundle, b: Bundle, split: str) -> Table:
    table = Table("主题 topic", f"{split} F1 {a.version}", f"{split} F1 {b.version}", "差 difference")
    of_a, of_b = (_measured(each.metrics()[split]["topics"]) for each in (a, b))
    for topic in _by_difference(of_a, of_b):
        figures = of_a.get(topic, {}), of_b.get(topic, {})
        name = (b if topic in b.taxonomy.ids else a).taxonomy[topic].zh
        table.add_row(f"{topic} {name}", *(_figure(each, "f1") for each in figures), _difference(*figures, "f1"))
    return table


def _measured(topics: dict[str, Any]) -> dict[str, Any]:
    """Those that occur in the split: the F1 of others says nothing."""
    return {topic: figures for topic, figures in topics.items() if figures["support"]}


def _by_difference(of_a: dict[str, Any], of_b: dict[str, Any]) -> Iterator[str]:
    """Topics that both have, the largest difference first; then those of one alone."""
    both = [topic for topic in of_a if topic in of_b]
    yield from sorted(both, key=lambda topic: -abs(of_b[topic]["f1"] - of_a[topic]["f1"]))
    yield from (topic for topic in {**of_a, **of_b} if topic not in both)


def _figure(figures: dict[str, Any], key: str) -> str:
    figure = figures.get(key)
    return "–" if figure is None else f"{figure:.4f}" if isinstance(figure, float) else str(figure)


def _difference(a: dict[str, Any], b: dict[str, Any], key: str) -> str:
    if a.get(key) is None or b.get(key) is None:
        return ""
    difference = b[key] - a[key]
    return f"{difference:+.4f}" if isinstance(difference, float) else f"{difference:+d}"


def _time(at: datetime) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M}"


def _console() -> Console:
    # A terminal is as wide as it is; a file or a pipe should not be broken at 80 columns.
    return Console(width=None if sys.stdout.isatty() else 160, markup=False, highlight=False)
