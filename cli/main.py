"""`policy-topics`: the command line. It reads the settings, calls one room of the house, and prints.

Exit codes: 0 done; 1 some inputs could not be read, each named; 2 wrong use, or a fault that the message explains;
3 a new bundle that may not take the place of the one that serves.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console

from cli import classify, data, gate, keys, models, score, serve, training
from configs.settings import SettingsError, load_settings
from configs.taxonomy import TaxonomyError
from configs.tracking import switch_off_tracking
from policy_topics.errors import DataError, PolicyTopicsError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="逐段判断中文政策文本的主题。Which policy topics a Chinese policy text is about, paragraph by paragraph.",
)
app.command("serve")(serve.serve)
app.command("classify")(classify.classify)
app.command("score")(score.score)
app.command("train")(training.train)
app.command("gate")(gate.gate)
app.command("evaluate")(training.evaluate)
app.command("pretrain")(training.pretrain)
app.add_typer(data.app, name="data")
app.add_typer(models.app, name="models")
app.add_typer(keys.app, name="keys")


@app.callback()
def settings(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option("--config", exists=True, dir_okay=False, help="设置文件。A YAML file of settings.")
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="一项设置，可重复。One setting, e.g. serve.port=8080; repeatable."
        ),
    ] = None,
) -> None:
    """Read the settings once, for every command."""
    context.obj = load_settings(config, dict(map(_assignment, assignments or [])))


def main() -> None:
    """Entry point: a fault that a user can do something about becomes one clear message and its exit code."""
    switch_off_tracking()
    try:
        app()
    except (PolicyTopicsError, SettingsError, TaxonomyError) as fault:
        Console(stderr=True, soft_wrap=True).print(f"错误 error: {fault}", style="red", markup=False, highlight=False)
        sys.exit(1 if isinstance(fault, DataError) else 2)


def _assignment(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"{text!r}: write KEY=VALUE, e.g. --set serve.port=8080")
    try:
        return key.strip(), yaml.safe_load(value)
    except yaml.YAMLError:
        return key.strip(), value


if __name__ == "__main__":
    main()
