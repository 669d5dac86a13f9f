"""`policy-topics serve`."""

from __future__ import annotations

from typing import Annotated

import typer

from configs.settings import override


def serve(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(help="监听地址。Address to listen on (serve.host).")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="端口。Port (serve.port).")] = None,
) -> None:
    """启动服务。Run the HTTP service."""
    from serve.run import run  # brings in BentoML, which takes a second

    given = {"serve.host": host, "serve.port": port}
    run(override(context.obj, {key: value for key, value in given.items() if value is not None}))
