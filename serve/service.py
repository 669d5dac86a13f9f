"""The BentoML service: it runs our app in a worker process, packs it into a bento, and answers the probes.

The endpoints are a mounted ASGI app and not `@bentoml.api` methods: those are POST only, ignore unknown fields, read
bodies of any size, and have errors in a form of their own. Nor is there a `bentoml.depends()`: it drops connections
under load.
"""

from __future__ import annotations

from typing import Any, cast

import bentoml
from starlette.types import ASGIApp, Receive, Scope, Send

from configs.settings import load_settings
from policy_topics.classifier import Classifier
from policy_topics.registry import promotion_mark, served_bundle
from serve.app import create_app

# BentoML wants the app and its timeout when the class is made, so the settings are read on import; no model is.
_settings = load_settings()
_app = create_app(
    _settings,
    load=lambda: Classifier.load(served_bundle(_settings), _settings.engine),
    mark=lambda: promotion_mark(_settings),
)


@bentoml.service(
    name="policy_topics",
    workers=1,  # the engine uses all cores; a second worker would load a second model and share them
    # Ours answers first (serve.limits); BentoML's has no off switch.
    traffic={"timeout": _settings.serve.timeout_seconds + 5},
    metrics={"enabled": False},  # serve.observation.metrics says why
    logging={"access": {"enabled": False}},  # serve.observation.logs has ours, which names no address and costs a tenth
    # BentoML's timeout middleware keeps the trace span of each request (11 KB) until the timeout is over. A config file
    # of BentoML's can switch tracing on again.
    tracing={"excluded_urls": ".*"},
)
@bentoml.asgi_app(_app, path="/")
class PolicyTopics:
    """Which policy topics a Chinese policy text is about, paragraph by paragraph."""

    async def __is_alive__(self) -> bool:
        """BentoML's /livez."""
        return not _app.state.model.failed

    async def __is_ready__(self) -> bool:
        """BentoML's /readyz: whether the model has run."""
        return bool(_app.state.model.ready)


class _LineBreaks:
    """Has our app answer a path with a line break in it, too: BentoML's routes match none, and its 404 is not ours."""

    def __init__(self, app: ASGIApp) -> None:
        self._others = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_one = scope["type"] == "http" and "\n" in scope["path"]
        await (_app if has_one else self._others)(scope, receive, send)


cast(Any, PolicyTopics).add_asgi_middleware(_LineBreaks)  # the decorator has made a service of the class
