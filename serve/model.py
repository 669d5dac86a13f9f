"""The model of this process: loaded beside the server's start, ready once it has run, and changed without a pause."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import math
from collections.abc import AsyncIterator, Callable, Sequence

from configs.settings import Settings
from policy_topics.classifier import Classifier
from policy_topics.engine import Logits
from policy_topics.tokeniser import Tokenised
from serve.batcher import Batcher, Busy
from serve.observation.metrics import Metrics
from serve.observation.record import Record
from serve.problems import Problem

log = logging.getLogger("policy_topics.serve")

FIRST_TEXT = "会议研究部署了稳就业工作。"
"""What a model classifies before it answers: the first run compiles and allocates."""

LOOK_SECONDS = 1.0
"""Time between two looks whether another version was promoted."""


class Answering:
    """A classifier behind a batcher. A request keeps to one of these from its beginning to its end."""

    def __init__(self, classifier: Classifier, batcher: Batcher) -> None:
        self.classifier = classifier
        self.batcher = batcher
        self.requests = 0
        """How many requests are at work on it."""


class Model:
    """What answers, for many requests at once.

    `load` is called in a thread when `start` is; until it is done and one text is classified, `using` raises the
    problem `not_ready`. Whenever `mark` comes to something else, `load` is called again, and what it gives answers the
    requests that come from then on; those that are under way end on what they began with. If `load` fails then, what
    answers goes on.
    """

    def __init__(
        self,
        settings: Settings,
        load: Callable[[], Classifier],
        mark: Callable[[], object],
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._load = load
        self._mark = mark
        self._metrics = metrics
        self._life: asyncio.Task[None] | None = None
        self._answering: Answering | None = None
        self.failed = False
        """Whether loading has failed at the start, for good: the process is of no use."""
        self._ending = False
        self._requests = 0

    @property
    def ready(self) -> bool:
        """Whether the model has run, and takes requests."""
        return self._answering is not None and not self._ending

    @property
    def classifier(self) -> Classifier:
        return self._of_ready().classifier

    def start(self) -> None:
        """Begin to load."""
        self._life = asyncio.create_task(self._live())

    async def drain(self) -> None:
        """Take no more requests, and come back when those under way have their answers."""
        self._ending = True
        while self._requests:
            await asyncio.sleep(0.02)

    async def close(self) -> None:
        if self._life:
            self._life.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._life
        if self._answering:
            await self._answering.batcher.close()

    def check(self) -> None:
        """Raise the problem that a new request has now whatever is in it: `not_ready` or `busy`."""
        if self._ending:
            raise Problem(
                "not_ready",
                "The service is ending and takes no more requests; send it again, to another one or a little later.",
                "服务正在停止，不再接受请求；请稍后重试，或发往其他实例。",
                headers={**self._retry_after(), "Connection": "close"},
            )
        try:
            self._of_ready().batcher.check()
        except Busy:
            raise self._busy() from None

    @contextlib.asynccontextmanager
    async def using(self) -> AsyncIterator[Answering]:
        """What answers now, for one request: it stays whole until the request leaves it.

        Raises:
            Problem: `not_ready`.
        """
        answering = self._of_ready()
        answering.requests += 1
        self._requests += 1
        try:
            yield answering
        finally:
            self._requests -= 1
            answering.requests -= 1
            await self._let_go(answering)

    async def logits(self, answering: Answering, tokenised: Sequence[Tokenised], record: Record) -> list[Logits]:
        """Logits (windows, topics) of texts that `answering` tokenised, run together with those of other requests.

        Raises:
            Problem: `busy`.
        """
        record.enter("wait")
        try:
            return await answering.batcher.submit(tokenised, lambda: record.enter("run"))
        except Busy:
            raise self._busy() from None

    async def _live(self) -> None:
        mark = await asyncio.to_thread(self._mark)
        try:
            await self._take_over()
        except Exception:
            log.exception("the model cannot be loaded; no request will be answered")
            self.failed = True
            return
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            # Looked at before loading: what is promoted meanwhile is seen next time.
            before, mark = mark, await asyncio.to_thread(self._mark)
            if mark != before:
                await self._follow()

    async def _follow(self) -> None:
        try:
            await self._take_over()
        except Exception:
            running = self.classifier.bundle
            log.exception(
                "the promoted version cannot be taken over; %s %s goes on answering. Roll back, or promote a version "
                "again once the fault is mended",
                running.name,
                running.version,
            )
            self._metrics.taken_over(False)
        else:
            self._metrics.taken_over(True)

    async def _take_over(self) -> None:
        """Load beside what answers, run once, and put it in its place between two requests."""
        classifier = await asyncio.to_thread(self._load)
        await asyncio.to_thread(classifier.classify, [FIRST_TEXT])
        batcher = Batcher(
            self._metrics.measured(classifier.run, self._settings.engine.batch_tokens),
            len(classifier.bundle.taxonomy.topics),
            self._settings.engine.batch_tokens,
            self._settings.serve.queue_tokens,
            self._settings.serve.queue_seconds,
        )
        if self._answering is None:
            _calm_garbage_collection()
        bundle = classifier.bundle
        before, self._answering = self._answering, Answering(classifier, batcher)
        self._metrics.answering(bundle, lambda: batcher.waiting_tokens)
        log.info("answering: %s %s", bundle.name, bundle.version)
        if before:
            await self._let_go(before)

    async def _let_go(self, answering: Answering) -> None:
        """End the engine thread of what answers no more, with its last request."""
        if answering is not self._answering and not answering.requests:
            await answering.batcher.close()

    def _of_ready(self) -> Answering:
        if self.failed:
            raise Problem(
                "not_ready", "The model could not be loaded; the log says why.", "模型加载失败，原因见服务日志。"
            )
        if self._answering is None:
            raise Problem(
                "not_ready",
                "The model is being loaded; ask /readyz when it is ready.",
                "模型正在加载；是否就绪可查询 /readyz。",
                headers=self._retry_after(),
            )
        return self._answering

    def _busy(self) -> Problem:
        return Problem(
            "busy",
            "The queue for the model is full (serve.queue_tokens, serve.queue_seconds); send the request again after "
            "`Retry-After`.",
            "模型的等待队列已满（serve.queue_tokens、serve.queue_seconds），请按 Retry-After 稍后重试。",
            headers=self._retry_after(),
        )

    def _retry_after(self) -> dict[str, str]:
        """How long to wait: until what waits now has run, or been given up."""
        serve = self._settings.serve
        waiting = math.ceil(self._answering.batcher.waiting_seconds) if self._answering else 0
        return {"Retry-After": str(max(serve.retry_after_seconds, min(waiting, serve.timeout_seconds)))}


def _calm_garbage_collection() -> None:
    """Leave what start-up made out of collections, and collect less often.

    A full collection goes through all modules and the model's objects and halts every request meanwhile: under load
    99 % of the answers came within 244 ms with Python's defaults, within 5 ms so.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
