"""The client for ordinary programs."""

from __future__ import annotations

import time
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
from policy_topics.client.batches import Gathered, correction_items, cut, text_items
from policy_topics.client.calls import Call, Language
from policy_topics.client.errors import ClientError, understood
from policy_topics.client.retries import Retries

T = TypeVar("T")


class Client:
    """Asks the service, one request after another.

    Args:
        url: address of the service, e.g. `http://127.0.0.1:3000`.
        api_key: where the service asks for one.
        language: of the topics' names.
        timeout: seconds to wait for an answer; best over the service's own `timeout_seconds`.
        tries: of one request that finds the service busy, not ready or out of reach.
        patience: seconds that those may take together.

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
    ) -> None:
        self._http = httpx.Client(**calls.settings(url, api_key, language, timeout))
        self._tries, self._patience = tries, patience
        self._model: ServedModel | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def classify(
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
        items = text_items(texts, self._limits())
        beside = {"options": calls.options(top_k, threshold, crosswalk)}
        return self._in_batches("/classify", items, beside, classified)

    def classify_document(
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
        return understood(self._ask(calls.document(document, name, chosen)), classified_document)

    def topics(self) -> Taxonomy:
        """The taxonomy of the model that answers."""
        return understood(self._ask(calls.TOPICS), Taxonomy.model_validate)

    def model(self) -> ServedModel:
        """The model that answers, and the service's limits."""
        return understood(self._ask(calls.MODEL), served_model)

    def feedback(self, corrections: Sequence[Corrected], *, consent: bool) -> list[str]:
        """Send corrections; returns their ids when they are stored for good.

        Args:
            consent: whether texts and the name of the key may be kept; the service stores nothing without.

        Raises:
            UnusableTexts: nothing was sent.
            Incomplete: some were not stored; send those `left` again, as they are.
            ServiceError, Unreachable: the service's limits could not be asked for.
        """
        items = correction_items(corrections, self._limits())
        return self._in_batches("/feedback", items, {"consent": consent}, lambda answer: answer["ids"])

    def _limits(self) -> Limits:
        if self._model is None:
            self._model = self.model()
        return self._model.limits

    def _in_batches(
        self, path: str, items: Sequence[bytes], beside: Mapping[str, object], read: Callable[[Any], list[T]]
    ) -> list[T]:
        gathered = Gathered[T](len(items))
        for batch in cut(items, beside, self._limits()):
            try:
                answer = self._ask(calls.post(path, batch.body(beside)))
                gathered.take(batch, understood(answer, read))
            except ClientError as fault:
                gathered.fail(batch, fault)
                break
        return gathered.whole()

    def _ask(self, call: Call) -> httpx.Response:
        retries = Retries(self._tries, self._patience)
        while True:
            try:
                answer = self._http.request(call.method, call.path, **call.arguments)
            except httpx.RequestError as fault:
                wait = retries.after_fault(fault)
            else:
                if answer.is_success:
                    return answer
                wait = retries.after_answer(answer)
            time.sleep(wait)
