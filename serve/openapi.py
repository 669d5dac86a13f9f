"""The OpenAPI document of the service, made of the schemas, the settings' limits and the problem codes."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from configs.settings import ServeSettings
from configs.taxonomy import Taxonomy
from serve import problems
from serve.problems import CODES, ProblemDetails
from serve.schemas import (
    Classification,
    ClassifyRequest,
    DocumentClassification,
    DocumentRequest,
    ModelAnswer,
    Options,
)

REF = "#/components/schemas/{model}"

ABOUT = """\
Which policy topics a Chinese policy text is about, paragraph by paragraph, with calibrated probabilities.

给中文政策文本逐段标注政策主题，并给出校准后的概率。

**Limits** (settings `serve.…`; a request beyond one is refused whole, nothing is cut off): a body of {max_body_bytes}
bytes, {max_items} items in a request, {max_item_characters} characters in an item, {max_document_characters} characters
in a document, {timeout_seconds} s for an answer.

**Texts** are cleaned first: pinyin glosses go, Traditional becomes Simplified, boilerplate lines of web pages are
dropped. Text without words has no topics; that is no error.

**Offsets** `start` and `end` are counted in Unicode code points of the document as it was decoded, before cleaning
(as in Python's `str`; a JavaScript string counts characters beyond the BMP twice).

**Errors** are `application/problem+json` (RFC 9457) with a stable `code`: {codes}. With 429 and 503 comes
`Retry-After`. Unknown fields are refused."""

OPTIONS = {"top_k": 3, "threshold": 0.3, "crosswalk": True}
MODEL = {"name": "default", "version": "1", "taxonomy": 1}
TOPIC = {
    "id": "employment",
    "name": "就业与社会保障",
    "probability": 0.9549,
    "cap": [5, 13],
    "gov": "劳动、人事、监察",
}
TEXT = "要把稳就业摆在突出位置，支持高校毕业生到基层就业。"
CLASSIFY = {"items": [{"id": "2024-17", "text": TEXT}], "options": OPTIONS}
CLASSIFIED = {
    "model": MODEL,
    "results": [{"id": "2024-17", "topics": [TOPIC], "primary": TOPIC["id"], "tokens": 14, "windows": 1}],
}
DOCUMENT = {"name": "会议纪要", "text": f"{TEXT}\n打印本页", "options": {"crosswalk": True}}
DOCUMENT_CLASSIFIED = {
    "model": MODEL,
    "document": {"name": "会议纪要", "media_type": "text/plain", "encoding": None},
    "results": [
        {
            "index": 0,
            "start": 0,
            "end": len(TEXT),
            "text": TEXT,
            "topics": [TOPIC],
            "primary": TOPIC["id"],
            "tokens": 14,
            "windows": 1,
        }
    ],
    "document_topics": [{"id": TOPIC["id"], "name": TOPIC["name"], "share": 1.0}],
    "dropped": ["打印本页"],
}


def openapi(limits: ServeSettings) -> dict[str, Any]:
    """The document, with the limits of this service in its text."""
    codes = ", ".join(f"`{code}` {status}" for code, (status, _) in CODES.items())
    schemas = _schemas()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "policy-topics",
            "version": "1",
            "description": ABOUT.format(codes=codes, **limits.model_dump()),
        },
        "paths": {
            "/classify": {"post": _classify()},
            "/classify_document": {"post": _classify_document()},
            "/topics": {"get": _get("The taxonomy: topics, definitions, crosswalks", "Taxonomy", ["not_ready"])},
            "/model": {"get": _get("The model that answers, its metrics and the limits", "ModelAnswer", ["not_ready"])},
            "/livez": {"get": _probe("Whether the process lives")},
            "/readyz": {"get": _probe("Whether the model is loaded and has run")},
            "/metrics": {"get": _plain("Metrics for Prometheus", "text/plain")},
            "/docs.json": {"get": _plain("This document", "application/json")},
            "/": {"get": _plain("A page to paste text into", "text/html")},
        },
        "components": {"schemas": schemas},
    }


def _classify() -> dict[str, Any]:
    return {
        "operationId": "classify",
        "summary": "Classify paragraphs",
        "description": "The results are in the order of the items.",
        "parameters": [_accept_language()],
        "requestBody": {"required": True, "content": _json("ClassifyRequest", CLASSIFY)},
        "responses": {
            "200": {"description": "Topics of each item", "content": _json("Classification", CLASSIFIED)},
            **_problems(
                "malformed", "too_large", "unsupported_type", "invalid", "busy", "internal", "not_ready", "timeout"
            ),
        },
    }


def _classify_document() -> dict[str, Any]:
    multipart = {
        "type": "object",
        "required": ["file"],
        "properties": {
            "file": {
                "type": "string",
                "format": "binary",
                "description": "A text, HTML, Word (DOCX) or PDF file; the encoding of a text is detected.",
            },
            "options": {"$ref": REF.format(model="Options")},
        },
    }
    return {
        "operationId": "classify_document",
        "summary": "Cut a document into paragraphs and classify each",
        "description": "The document is JSON text or an uploaded file.",
        "parameters": [_accept_language()],
        "requestBody": {
            "required": True,
            "content": {
                **_json("DocumentRequest", DOCUMENT),
                "multipart/form-data": {
                    "schema": multipart,
                    "encoding": {"options": {"contentType": "application/json"}},
                },
            },
        },
        "responses": {
            "200": {
                "description": "Topics of each paragraph and of the document",
                "content": _json("DocumentClassification", DOCUMENT_CLASSIFIED),
            },
            **_problems(
                "malformed",
                "too_large",
                "unsupported_type",
                "invalid",
                "unreadable_document",
                "busy",
                "internal",
                "not_ready",
                "timeout",
            ),
        },
    }


def _get(summary: str, schema: str, faults: list[str]) -> dict[str, Any]:
    return {
        "summary": summary,
        "responses": {"200": {"description": summary, "content": _json(schema)}, **_problems(*faults)},
    }


def _probe(summary: str) -> dict[str, Any]:
    return {"summary": summary, "responses": {"200": {"description": "Yes"}, **_problems("not_ready")}}


def _plain(summary: str, media_type: str) -> dict[str, Any]:
    return {"summary": summary, "responses": {"200": {"description": summary, "content": {media_type: {}}}}}


def _json(schema: str, example: object = None) -> dict[str, Any]:
    media: dict[str, Any] = {"schema": {"$ref": REF.format(model=schema)}}
    if example is not None:
        media["example"] = example
    return {"application/json": media}


def _problems(*codes: str) -> dict[str, Any]:
    by_status: dict[int, list[str]] = {}
    for code in codes:
        by_status.setdefault(CODES[code][0], []).append(code)
    content = {problems.MEDIA_TYPE: {"schema": {"$ref": REF.format(model="ProblemDetails")}}}
    answers: dict[str, Any] = {}
    for status, named in sorted(by_status.items()):
        titles = "; ".join(f"{CODES[code][1]} (`{code}`)" for code in named)
        answers[str(status)] = {"description": titles, "content": content}
        if status in (429, 503):
            answers[str(status)]["headers"] = {
                "Retry-After": {"description": "Seconds to wait", "schema": {"type": "integer"}}
            }
    return answers


def _accept_language() -> dict[str, Any]:
    return {
        "name": "Accept-Language",
        "in": "header",
        "description": "Topic names are English if it begins with `en`, else Chinese; /topics has both.",
        "schema": {"type": "string"},
    }


def _schemas() -> dict[str, Any]:
    requests = (ClassifyRequest, DocumentRequest, Options)
    answers = (Classification, DocumentClassification, ModelAnswer, Taxonomy, ProblemDetails)
    inputs: list[tuple[str, JsonSchemaMode, TypeAdapter[Any]]] = [
        *((model.__name__, "validation", TypeAdapter(model)) for model in requests),
        *((model.__name__, "serialization", TypeAdapter(model)) for model in answers),
    ]
    _, schemas = TypeAdapter.json_schemas(inputs, ref_template=REF)
    definitions: dict[str, Any] = schemas["$defs"]
    return definitions
