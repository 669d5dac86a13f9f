"""Pieces that the operations of the OpenAPI document are made of."""

from __future__ import annotations

from typing import Any

from serve.problems import CODES, MEDIA_TYPE

REF = "#/components/schemas/{model}"


def getter(summary: str, schema: str, codes: list[str]) -> dict[str, Any]:
    """An operation that only reads: `codes` are the problems that it may answer."""
    return {
        "summary": summary,
        "responses": {"200": {"description": summary, "content": json_body(schema)}, **faults(*codes)},
    }


def probe(summary: str) -> dict[str, Any]:
    """One that says yes, or 503."""
    return {"summary": summary, "responses": {"200": {"description": "Yes"}, **faults("not_ready")}}


def plain(summary: str, media_type: str) -> dict[str, Any]:
    """One that answers something else than JSON of ours."""
    return {"summary": summary, "responses": {"200": {"description": summary, "content": {media_type: {}}}}}


def json_body(schema: str, example: object = None) -> dict[str, Any]:
    """Content of a schema, with an example of it."""
    media: dict[str, Any] = {"schema": {"$ref": REF.format(model=schema)}}
    if example is not None:
        media["example"] = example
    return {"application/json": media}


def faults(*codes: str) -> dict[str, Any]:
    """Responses by status, of problem codes."""
    by_status: dict[int, list[str]] = {}
    for code in codes:
        by_status.setdefault(CODES[code][0], []).append(code)
    content = {MEDIA_TYPE: {"schema": {"$ref": REF.format(model="ProblemDetails")}}}
    answers: dict[str, Any] = {}
    for status, named in sorted(by_status.items()):
        titles = "; ".join(f"{CODES[code][1]} (`{code}`)" for code in named)
        answers[str(status)] = {"description": titles, "content": content}
        if status in (429, 503):
            wait = "Seconds to wait" if status == 429 else "Seconds to wait; absent where waiting does not help"
            answers[str(status)]["headers"] = {"Retry-After": {"description": wait, "schema": {"type": "integer"}}}
    return answers


def accept_language() -> dict[str, Any]:
    """The header that chooses the names of topics."""
    return {
        "name": "Accept-Language",
        "in": "header",
        "description": "Topic names are English if it begins with `en`, else Chinese; /topics has both.",
        "schema": {"type": "string"},
    }
