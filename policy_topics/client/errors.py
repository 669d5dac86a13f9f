"""What can go wrong between a program and the service."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import httpx

T = TypeVar("T")

_UNREADABLE = (ValueError, TypeError, KeyError, AttributeError)


@dataclass(frozen=True, slots=True)
class FieldFault:
    """One fault of a request: `item` is the index of the text at fault, if it is in one."""

    item: int | None
    field: str
    message: str


class ClientError(Exception):
    """Root of the faults below."""


class UnusableTexts(ClientError):
    """Texts that the service cannot take. Nothing was sent.

    Attributes:
        reasons: what is wrong with which, by index.
    """

    def __init__(self, reasons: Mapping[int, str]) -> None:
        self.reasons = dict(reasons)
        first, reason = next(iter(self.reasons.items()))
        more = f", and {len(self.reasons) - 1} more (`reasons`)" if len(self.reasons) > 1 else ""
        super().__init__(f"text {first} cannot be sent: {reason}{more}; nothing was sent")


class Unreachable(ClientError):
    """No answer came."""


class ServiceError(ClientError):
    """The service answered with a problem.

    Attributes:
        status: HTTP status.
        code: stable name of the problem; `http_…` with the status where something before the service answered.
        detail: what is wrong and what to do; `detail_zh` the same in Chinese.
        faults: each fault of the request, with 422.
    """

    def __init__(self, status: int, code: str, detail: str, detail_zh: str, faults: Sequence[FieldFault] = ()) -> None:
        self.status, self.code, self.detail, self.detail_zh = status, code, detail, detail_zh
        self.faults = tuple(faults)
        super().__init__(f"{status} {code}: {detail}")

    def moved(self, by: int) -> ServiceError:
        """The same of a request whose items are texts from index `by` on."""
        faults = [each if each.item is None else replace(each, item=each.item + by) for each in self.faults]
        return ServiceError(self.status, self.code, self.detail, self.detail_zh, faults)


class Incomplete(ClientError):
    """Some of many texts were not answered, and why: `__cause__`.

    Attributes:
        results: in the order of the texts; None where there is none.
        left: indexes of the texts that have none: what to send again.
    """

    def __init__(self, results: Sequence[Any]) -> None:
        self.results = list(results)
        self.left = [index for index, result in enumerate(self.results) if result is None]
        done = len(self.results) - len(self.left)
        super().__init__(
            f"{done} of {len(self.results)} were answered (`results`); without an answer: {_ranges(self.left)} (`left`)"
        )


def service_error(answer: httpx.Response) -> ServiceError:
    """The problem in an answer."""
    try:
        problem = answer.json()
        faults = [FieldFault(each["item"], each["field"], each["message"]) for each in problem.get("errors", ())]
        return ServiceError(answer.status_code, problem["code"], problem["detail"], problem["detail_zh"], faults)
    except _UNREADABLE:
        return _foreign(answer)


def understood(answer: httpx.Response, read: Callable[[Any], T]) -> T:
    """What `read` makes of the JSON of an answer.

    Raises:
        ServiceError: it is none of the service's.
    """
    try:
        return read(answer.json())
    except _UNREADABLE:
        raise _foreign(answer) from None


def _foreign(answer: httpx.Response) -> ServiceError:
    status, server = answer.status_code, answer.headers.get("server", "something")
    return ServiceError(
        status,
        f"http_{status}",
        f"{server} answered at {answer.url}, and not as policy-topics does; is the address right?",
        f"{answer.url} 的回答不是 policy-topics 的格式，请检查地址。",
    )


def _ranges(numbers: Sequence[int]) -> str:
    """`0-4, 9` for 0 1 2 3 4 9; the first few."""
    ends: list[list[int]] = []
    for number in numbers:
        if ends and ends[-1][1] == number - 1:
            ends[-1][1] = number
        else:
            ends.append([number, number])
    shown = [str(a) if a == b else f"{a}-{b}" for a, b in ends[:5]]
    return ", ".join([*shown, *(["…"] if len(ends) > 5 else [])])
