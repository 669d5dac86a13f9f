"""`policy-topics serve`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from configs.settings import Settings


def serve(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(help="监听地址。Address to listen on (serve.host).")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="端口。Port (serve.port).")] = None,
) -> None:
    """启动服务。Run the HTTP service."""
    from serve.run import run  # brings in BentoML, which takes a second

    settings: Settings = context.obj
    given: dict[str, Any] = {key: value for key, value in (("host", host), ("port", port)) if value is not None}
    run(settings.model_copy(update={"serve": settings.serve.model_copy(update=given)}))
