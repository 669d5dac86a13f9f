"""Errors as RFC 9457 problem details: one shape, a stable `code` each, in English and Chinese."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, NotRequired

from pydantic import Field, ValidationError
from pydantic_core import ErrorDetails, to_json
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from typing_extensions import TypedDict

from serve.access.headers import add_headers
from serve.observation.record import record_of

MEDIA_TYPE = "application/problem+json"
CLIENT_GONE = 499
"""Status in the log for a client that left before its answer (after nginx); nobody receives it."""
MOST_ERRORS = 20
"""Faults of a request that are listed; the rest is counted."""

CODES = {
    "malformed": (400, "Malformed request"),
    "unauthorized": (401, "Unauthorized"),
    "no_consent": (403, "No consent"),
    "feedback_off": (403, "Feedback is off"),
    "not_found": (404, "No such path"),
    "method_not_allowed": (405, "Method not allowed"),
    "conflict": (409, "Conflict"),
    "too_large": (413, "Too large"),
    "unsupported_type": (415, "Unsupported media type"),
    "invalid": (422, "Invalid request"),
    "unreadable_document": (422, "Unreadable document"),
    "busy": (429, "Busy"),
    "rate_limited": (429, "Too many requests"),
    "internal": (500, "Internal error"),
    "not_ready": (503, "Not ready"),
    "feedback_unavailable": (503, "Feedback unavailable"),
    "timeout": (504, "Out of time"),
}
"""Every code that a problem can have, its status and title."""


class FieldError(TypedDict):
    """One fault of a request."""

    item: Annotated[int | None, Field(description="Index in `items`, from 0; null where the fault is in no item.")]
    field: Annotated[str, Field(description="The field at fault, e.g. `text` or `options.top_k`.")]
    message: str


class ProblemDetails(TypedDict):
    """RFC 9457 problem details."""

    type: Annotated[str, Field(description="A URN made of `code`.")]
    title: str
    status: int
    detail: Annotated[str, Field(description="What is wrong and what to do.")]
    detail_zh: Annotated[str, Field(description="The same in Chinese.")]
    code: Annotated[str, Field(description="Stable name of the problem.", json_schema_extra={"enum": list(CODES)})]
    errors: NotRequired[Annotated[list[FieldError], Field(description=f"The first {MOST_ERRORS} faults, with 422.")]]


class Problem(Exception):
    """A request that gets an error. Raise it anywhere below an endpoint."""

    def __init__(
        self,
        code: str,
        detail: str,
        detail_zh: str,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.headers = dict(headers or {})
        self.status, title = CODES[code]
        self.body = ProblemDetails(
            type=f"urn:policy-topics:problem:{code}",
            title=title,
            status=self.status,
            detail=detail,
            detail_zh=detail_zh,
            code=code,
        )
        if errors:
            self.body["errors"] = list(errors[:MOST_ERRORS])

    def response(self) -> Response:
        """The problem as an answer."""
        return _Answer(self)


class _Answer(Response):
    """A problem on its way out. It notes its code in the request's record, wherever it is answered."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(to_json(problem.body), problem.status, problem.headers, MEDIA_TYPE)
        self._code = problem.body["code"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if record := record_of(scope):
            record.code = self._code
        await super().__call__(scope, receive, send)


def invalid(errors: Sequence[FieldError]) -> Problem:
    """The 422 for fields that cannot be used."""
    places = ", ".join(f"items[{e['item']}].{e['field']}" if e["item"] is not None else e["field"] for e in errors[:3])
    more = " …" if len(errors) > 3 else ""
    return Problem(
        "invalid",
        f"{len(errors)} field(s) cannot be used: {places}{more}. Each is named in `errors`; /docs.json has the form.",
        f"有 {len(errors)} 处字段无效：{places}{more}。详见 errors；格式见 /docs.json。",
        errors,
    )


def unusable(fault: ValidationError, under: str = "") -> Problem:
    """The problem of a body that does not fit its schema: 400 if it is no JSON, else 422.

    `under` names the field that holds what was validated, where that is not the whole body.
    """
    faults = fault.errors(include_url=False, include_input=False, include_context=False)
    if faults[0]["type"] == "json_invalid":
        reason = faults[0]["msg"].removeprefix("Invalid JSON: ")
        return Problem(
            "malformed",
            f"{f'`{under}`' if under else 'The body'} is not JSON in UTF-8: {reason}.",
            f"{f'“{under}”' if under else '请求体'}不是有效的 UTF-8 JSON：{reason}。",
        )
    return invalid([_field_error(fault, under) for fault in faults])


def _field_error(fault: ErrorDetails, under: str) -> FieldError:
    place = ((under,) if under else ()) + fault["loc"]
    item: int | None = None
    if len(place) > 1 and place[0] == "items" and isinstance(place[1], int):
        item, place = place[1], place[2:]
    message = "unknown field" if fault["type"] == "extra_forbidden" else fault["msg"]
    return FieldError(item=item, field=".".join(map(str, place)) or "(all)", message=message)


def not_found(request: Request) -> Problem:
    path = request.url.path
    return Problem(
        "not_found",
        f"There is nothing at {path}; /docs.json lists every path.",
        f"没有 {path} 这个路径；全部路径见 /docs.json。",
    )


def method_not_allowed(request: Request, allowed: Sequence[str]) -> Problem:
    allow = ", ".join(sorted(allowed))
    return Problem(
        "method_not_allowed",
        f"{request.url.path} takes {allow}, not {request.method}.",
        f"{request.url.path} 只接受 {allow}，不接受 {request.method}。",
        headers={"Allow": allow},
    )


def out_of_time(seconds: int) -> Problem:
    return Problem(
        "timeout",
        f"There was no answer within {seconds} s and the work was given up; send less at once or try again.",
        f"{seconds} 秒内未能完成，已放弃处理；请减少单次内容或稍后重试。",
    )


def too_long(characters: int, most: int) -> Problem:
    return Problem(
        "too_large",
        f"The document has {characters} characters, more than {most} (serve.max_document_characters); "
        "send it in parts.",
        f"文档有 {characters} 个字符，超过上限 {most}（serve.max_document_characters），请拆分后发送。",
    )


async def answer_problem(_: Request, fault: Exception) -> Response:
    assert isinstance(fault, Problem)
    return fault.response()


async def answer_http_exception(request: Request, fault: Exception) -> Response:
    """Starlette's own errors: today only those of its multipart parser, which are 400."""
    assert isinstance(fault, HTTPException)
    if fault.status_code == HTTPStatus.NOT_FOUND:
        return not_found(request).response()
    return Problem(
        "malformed",
        f"The multipart body cannot be read: {fault.detail}",
        f"无法解析 multipart 请求体：{fault.detail}",
    ).response()


async def answer_fault(request: Request, _: Exception) -> Response:
    """A fault of ours. The traceback goes to the log, never to the client."""
    response = Problem(
        "internal", "The service failed on this request; its log says why.", "服务处理此请求时出错，原因见服务日志。"
    ).response()
    add_headers(response.headers, request.url.path)  # Starlette answers this one outside of all middleware
    return response


async def answer_nobody(_: Request, fault: Exception) -> Response:
    assert isinstance(fault, ClientDisconnect)
    return Response(status_code=CLIENT_GONE)
