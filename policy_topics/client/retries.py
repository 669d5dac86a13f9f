"""When to ask again, and after how long: exponential back-off with full jitter, and never before the server says.

M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015: clients that were refused together must not
come back together.
"""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from policy_topics.client.errors import ClientError, Unreachable, service_error

BASE_SECONDS = 0.5
CAP_SECONDS = 20.0

_AGAIN = frozenset({429, 502, 503})
"""Busy; a proxy that reaches no service; not ready yet. Not 504: what was too much will be again."""


class Retries:
    """The tries of one request.

    Args:
        tries: how many there may be.
        seconds: how long they may take together.
    """

    def __init__(self, tries: int, seconds: float) -> None:
        self._left = tries
        self._end = time.monotonic() + seconds
        self._pause = BASE_SECONDS

    def after_answer(self, answer: httpx.Response) -> float:
        """Seconds to wait before the next try.

        Raises:
            ServiceError: there is none; the answer stands.
        """
        wait = self._wait(_retry_after(answer)) if answer.status_code in _AGAIN else None
        if wait is None:
            raise service_error(answer)
        return wait

    def after_fault(self, fault: httpx.RequestError) -> float:
        """Seconds to wait before the next try.

        Raises:
            Unreachable: there is none.
            ClientError: what came is no answer of the service, nor would it be next time.
        """
        if isinstance(fault, httpx.DecodingError):
            raise ClientError(
                f"{fault.request.url} answered what cannot be unpacked ({fault}): policy-topics does not answer so; "
                "is the address right?"
            ) from fault
        # What the server has taken on and does not answer in time, it would not answer in time again.
        slow = isinstance(fault, httpx.TimeoutException) and not isinstance(fault, httpx.ConnectTimeout)
        wait = None if slow else self._wait(0)
        if wait is None:
            raise Unreachable(f"no answer from {fault.request.url}: {type(fault).__name__} {fault}".strip()) from fault
        return wait

    def _wait(self, least: float) -> float | None:
        self._left -= 1
        wait = least + random.uniform(0, self._pause)
        self._pause = min(2 * self._pause, CAP_SECONDS)
        return wait if self._left > 0 and time.monotonic() + wait <= self._end else None


def _retry_after(answer: httpx.Response) -> float:
    """Seconds that the server wants to be left alone; RFC 9110 has them as a number or as a date."""
    value = answer.headers.get("retry-after", "0")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    return max(0.0, (date.astimezone(UTC) - datetime.now(UTC)).total_seconds())
