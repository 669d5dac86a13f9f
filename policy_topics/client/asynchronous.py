"""The client for programs that run on asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx

from configs.taxonomy import Taxonomy
from policy_topics.client import calls
from policy_topics.client.answers import (
    Classified,
    ClassifiedDocument,
    Corrected,
    Limits,
    ServedModel,
    classified,
    classified_document,
    served_model,
)
from policy_topics.client.batches import Batch, Gathered, correction_items, cut, text_items
from policy_topics.client.calls import Call, Language
from policy_topics.client.errors import ClientError, understood
from policy_topics.client.retries import Retries

T = TypeVar("T")


class AsyncClient:
    """Asks the service, a few requests at once.

    Args:
        url: address of the service, e.g. `http://127.0.0.1:3000`.
        api_key: where the service asks for one.
        language: of the topics' names.
        timeout: seconds to wait for an answer; best over the service's own `timeout_seconds`.
        tries: of one request that finds the service busy, not ready or out of reach.
        patience: seconds that those may take together.
        in_flight: requests at once that many texts are sent in.

    Raises:
        ClientError: `url` is no address. What a call raises is one, too.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        language: Language = "zh",
        timeout: float = 90.0,
        tries: int = 8,
        patience: float = 120.0,
        in_flight: int = 4,
    ) -> None:
        self._http = httpx.AsyncClient(**calls.settings(url, api_key, language, timeout))
        self._tries, self._patience, self._in_flight = tries, patience, in_flight
        self._model: ServedModel | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def classify(
        self,
        texts: Sequence[str],
        *,
        top_k: int | None = None,
        threshold: float | None = None,
        crosswalk: bool = False,
    ) -> list[Classified]:
        """The topics of any number of texts, in their order. They are sent in as many requests as the service wants.

        Args:
            top_k: give at most so many topics of a text.
            threshold: give the topics of at least this probability, instead of by the threshold of each topic.
            crosswalk: put `cap` and `gov` beside each topic.

        Raises:
            UnusableTexts: nothing was sent.
            Incomplete: some were not answered; it has the answers of the others.
            ServiceError, Unreachable: the service's limits could not be asked for.
        """
        items = text_items(texts, await self._limits())
        beside = {"options": calls.options(top_k, threshold, crosswalk)}
        return await self._in_batches("/classify", items, beside, classified)

    async def classify_document(
        self,
        document: str | Path,
        *,
        name: str = "",
        top_k: int | None = None,
        threshold: float | None = None,
        crosswalk: bool = False,
    ) -> ClassifiedDocument:
        """A document, paragraph by paragraph: a text, or the path of a file. See `classify` for the options.

        Raises:
            ServiceError, Unreachable: there is no answer.
            OSError: the file cannot be read.
        """
        chosen = calls.options(top_k, threshold, crosswalk)
        call = await asyncio.to_thread(calls.document, document, name, chosen)
        return understood(await self._ask(call), classified_document)

    async def topics(self) -> Taxonomy:
        """The taxonomy of the model that answers."""
        return understood(await self._ask(calls.TOPICS), Taxonomy.model_validate)

    async def model(self) -> ServedModel:
        """The model that answers, and the service's limits."""
        return understood(await self._ask(calls.MODEL), served_model)

    async def feedback(self, corrections: Sequence[Corrected], *, consent: bool) -> list[str]:
        """Send corrections; returns their ids when they are stored for good.

        Args:
            consent: whether texts and the name of the key may be kept; the service stores nothing without.

        Raises:
            UnusableTexts: nothing was sent.
            Incomplete: some were not stored; send those `left` again, as they are.
            ServiceError, Unreachable: the service's limits could not be asked for.
        """
        items = correction_items(corrections, await self._limits())
        return await self._in_batches("/feedback", items, {"consent": consent}, lambda answer: answer["ids"])

    async def _limits(self) -> Limits:
        if self._model is None:
            self._model = await self.model()
        return self._model.limits

    async def _in_batches(
        self, path: str, items: Sequence[bytes], beside: Mapping[str, object], read: Callable[[Any], list[T]]
    ) -> list[T]:
        gathered = Gathered[T](len(items))
        batches = cut(items, beside, await self._limits())

        async def ask(batch: Batch) -> None:
            try:
                answer = await self._ask(calls.post(path, batch.body(beside)))
                gathered.take(batch, understood(answer, read))
            except ClientError as fault:
                gathered.fail(batch, fault)

        async def work() -> None:
            for batch in batches:  # of all workers together
                await ask(batch)
                if gathered.failed:
                    return

        async with asyncio.TaskGroup() as group:
            for _ in range(self._in_flight):
                group.create_task(work())
        return gathered.whole()

    async def _ask(self, call: Call) -> httpx.Response:
        retries = Retries(self._tries, self._patience)
        while True:
            try:
                answer = await self._http.request(call.method, call.path, **call.arguments)
            except httpx.RequestError as fault:
                wait = retries.after_fault(fault)
            else:
                if answer.is_success:
                    return answer
                wait = retries.after_answer(answer)
            await asyncio.sleep(wait)
