"""`policy-topics keys`: who may use the service. A running one takes a change over within a second."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

app = typer.Typer(no_args_is_help=True, help="API 密钥。The API keys of the service.")


@app.command("add")
def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="使用者。Who is to use it; stands beside their corrections.")],
    days: Annotated[
        int | None, typer.Option(min=1, help="有效天数，默认直至撤销。Days it is valid; by default until revoked.")
    ] = None,
) -> None:
    """创建一个密钥，只显示这一次。Make a key and print it, this once: only its hash is kept.

    同名密钥可同时有效：先加新的，再撤销旧的。Several of one name are valid side by side: add the new, revoke the old.
    """
    from serve.access.keys import add_key, keys_file

    key, text = add_key(keys_file(context.obj.serve), name, days)
    until = f"至 until {key.expires:%Y-%m-%d %H:%M} UTC" if key.expires else "直至撤销 until it is revoked"
    typer.echo(f"{key.name} {key.id} {until}；请立即保存，不再显示 keep it now, it is not shown again:", err=True)
    typer.echo(text)


@app.command("list")
def list_command(context: typer.Context) -> None:
    """列出密钥。The keys, without what they are."""
    from serve.access.keys import keys_file, read_keys

    now = datetime.now(UTC)
    table = Table("id", "名称 name", "创建 created", "到期 expires", "有效 valid")
    for key in read_keys(keys_file(context.obj.serve)):
        expires = f"{key.expires:%Y-%m-%d %H:%M}" if key.expires else "–"
        valid = "是 yes" if key.valid(now) else "否 no"
        table.add_row(key.id, Text(key.name), f"{key.created:%Y-%m-%d %H:%M}", expires, valid)
    Console(markup=False, highlight=False).print(table)


@app.command("revoke")
def revoke(
    context: typer.Context,
    which: Annotated[str, typer.Argument(metavar="NAME|ID", help="名称或 id。A name or id, as `keys list` has them.")],
) -> None:
    """撤销一个密钥。Take a key out of force."""
    from serve.access.keys import keys_file, revoke_key

    key = revoke_key(keys_file(context.obj.serve), which)
    typer.echo(f"已撤销 revoked: {key.name} {key.id}")
