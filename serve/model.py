"""The model of this process: loaded beside the server's start, ready once it has run."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from collections.abc import Callable, Sequence

from configs.settings import Settings
from policy_topics.classifier import Classifier, Tokenised
from policy_topics.engine import Logits
from serve.batcher import Batcher, Busy
from serve.metrics import Metrics
from serve.problems import Problem

log = logging.getLogger("policy_topics.serve")

FIRST_TEXT = "会议研究部署了稳就业工作。"
"""What the model classifies before it is ready: the first run compiles and allocates."""


class Model:
    """A classifier behind a batcher, for many requests at once.

    `load` is called in a thread when `start` is; until it is done and one text is classified, `classifier` and `logits`
    raise the problem `not_ready`.
    """

    def __init__(self, settings: Settings, load: Callable[[], Classifier], metrics: Metrics) -> None:
        self._settings = settings
        self._load = load
        self._metrics = metrics
        self._loading: asyncio.Task[None] | None = None
        self._ready: tuple[Classifier, Batcher] | None = None
        self.failed = False
        """Whether loading has failed, for good: the process is of no use."""

    @property
    def ready(self) -> bool:
        """Whether the model has run."""
        return self._ready is not None

    @property
    def classifier(self) -> Classifier:
        return self._of_ready()[0]

    def start(self) -> None:
        """Begin to load."""
        self._loading = asyncio.create_task(self._make_ready())

    async def close(self) -> None:
        if self._loading:
            self._loading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._loading
        if self._ready:
            await self._ready[1].close()

    def check(self) -> None:
        """Raise the problem that a request would have now whatever is in it: `not_ready` or `busy`."""
        _, batcher = self._of_ready()
        try:
            batcher.check()
        except Busy:
            raise self._busy() from None

    async def logits(self, tokenised: Sequence[Tokenised]) -> list[Logits]:
        """Logits (windows, topics) of tokenised texts, run together with those of other requests.

        Raises:
            Problem: `not_ready` or `busy`.
        """
        try:
            return await self._of_ready()[1].submit(tokenised)
        except Busy:
            raise self._busy() from None

    async def _make_ready(self) -> None:
        try:
            classifier = await asyncio.to_thread(self._load)
            await asyncio.to_thread(classifier.classify, [FIRST_TEXT])
        except Exception:
            log.exception("the model cannot be loaded; no request will be answered")
            self.failed = True
            return
        batcher = Batcher(
            self._metrics.measured(classifier.run),
            len(classifier.bundle.taxonomy.topics),
            self._settings.engine.batch_tokens,
            self._settings.serve.queue_tokens,
        )
        self._metrics.watch_queue(lambda: batcher.waiting_tokens)
        _calm_garbage_collection()
        self._ready = classifier, batcher
        log.info("ready: %s %s", classifier.bundle.name, classifier.bundle.version)

    def _of_ready(self) -> tuple[Classifier, Batcher]:
        if self.failed:
            raise Problem(
                "not_ready", "The model could not be loaded; the log says why.", "模型加载失败，原因见服务日志。"
            )
        if self._ready is None:
            raise Problem(
                "not_ready",
                "The model is being loaded; ask /readyz when it is ready.",
                "模型正在加载；是否就绪可查询 /readyz。",
                headers=self._retry_after(),
            )
        return self._ready

    def _busy(self) -> Problem:
        return Problem(
            "busy",
            "The queue for the model is full (serve.queue_tokens); send the request again after `Retry-After`.",
            "模型的等待队列已满（serve.queue_tokens），请按 Retry-After 稍后重试。",
            headers=self._retry_after(),
        )

    def _retry_after(self) -> dict[str, str]:
        return {"Retry-After": str(self._settings.serve.retry_after_seconds)}


def _calm_garbage_collection() -> None:
    """Leave what start-up made out of collections, and collect less often.

    A full collection goes through all modules and the model's objects and halts every request meanwhile: under load
    99 % of the answers came within 244 ms with Python's defaults, within 5 ms so.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
