"""The OpenAPI document of the service, made of the schemas, the settings' limits and the problem codes."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from configs.settings import ServeSettings
from configs.taxonomy import Taxonomy
from serve import problems
from serve.access import is_open
from serve.keys import asks_everyone
from serve.problems import CODES, ProblemDetails
from serve.schemas import (
    QUEUE_SHOWN,
    Classification,
    ClassifyRequest,
    DocumentClassification,
    DocumentRequest,
    DocumentText,
    ExplainRequest,
    Explanation,
    FeedbackRequest,
    FeedbackStored,
    ModelAnswer,
    Options,
    QueueAnswer,
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

**Corrections** are stored with consent only, each once: send one again with the same id where an answer did not come.

**Keys** Where the service asks for one, send it as `Authorization: Bearer KEY` or `X-API-Key: KEY`; without a valid one
the answer is 401. 服务要求密钥时，请在请求头中给出。{rate}

**Errors** are `application/problem+json` (RFC 9457) with a stable `code`: {codes}. With 429 and 503 comes
`Retry-After`. Unknown fields are refused."""

SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}

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
DOCUMENT_READ = {"document": DOCUMENT_CLASSIFIED["document"], "text": DOCUMENT["text"]}
DOCUMENT_FAULTS = (
    "malformed",
    "too_large",
    "unsupported_type",
    "invalid",
    "unreadable_document",
    "busy",
    "internal",
    "not_ready",
    "timeout",
)
EXPLAIN = {"text": "稳就业。", "topic": TOPIC["id"]}
EXPLAINED = {
    "model": MODEL,
    "method": "occlusion",
    "topic": TOPIC["id"],
    "probability": 0.9549,
    "spans": [{"start": 0, "end": 1, "weight": 0.4021}, {"start": 1, "end": 3, "weight": 3.1174}],
}
FEEDBACK_ID = "5f0f2a6e-6a0b-4c1e-9d5e-0c3f5b1f7a11"
FEEDBACK = {
    "items": [
        {
            "id": FEEDBACK_ID,
            "text": TEXT,
            "old": [{"id": TOPIC["id"], "probability": TOPIC["probability"]}],
            "new": [TOPIC["id"], "education"],
            "model": MODEL["version"],
            "document": "会议纪要",
        }
    ],
    "consent": True,
}
FEEDBACK_STORED = {"ids": [FEEDBACK_ID]}


def openapi(limits: ServeSettings) -> dict[str, Any]:
    """The document, with the limits of this service in its text."""
    codes = ", ".join(f"`{code}` {status}" for code, (status, _) in CODES.items())
    most = limits.requests_per_minute
    rate = f" At most {most} requests a minute; more get 429." if most else ""
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "policy-topics",
            "version": "1",
            "description": ABOUT.format(codes=codes, rate=rate, **limits.model_dump()),
        },
        "paths": {
            "/classify": {"post": _classify()},
            "/classify_document": {"post": _classify_document()},
            "/read_document": {"post": _read_document()},
            "/explain": {"post": _explain()},
            "/feedback": {"post": _feedback()},
            "/queue": {"get": _queue()},
            "/topics": {"get": _get("The taxonomy: topics, definitions, crosswalks", "Taxonomy", ["not_ready"])},
            "/model": {"get": _get("The model that answers, its metrics and the limits", "ModelAnswer", ["not_ready"])},
            "/livez": {"get": _probe("Whether the process lives")},
            "/readyz": {"get": _probe("Whether the model is loaded and has run")},
            "/metrics": {"get": _plain("Metrics for Prometheus", "text/plain")},
            "/docs.json": {"get": _plain("This document", "application/json")},
            "/": {"get": _plain("A page to paste text into", "text/html")},
            "/page/{file}": {"get": _page_file()},
        },
        "components": {"schemas": _schemas(), "securitySchemes": SECURITY_SCHEMES},
        "security": [*({name: []} for name in SECURITY_SCHEMES), *([] if asks_everyone(limits) else [{}])],
    }
    for path, operations in document["paths"].items():
        for operation in operations.values():
            _gate(path, operation)
    return document


def _gate(path: str, operation: dict[str, Any]) -> None:
    """Add what a request meets before an endpoint has it: a key is asked for, and requests are counted."""
    if is_open(path):
        operation["security"] = []
        return
    answers: dict[str, Any] = operation["responses"]
    for status, met in _problems("unauthorized", "rate_limited").items():
        own = answers.setdefault(status, met)
        if own is not met:
            own["description"] += f"; {met['description']}"
    operation["responses"] = dict(sorted(answers.items()))


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
    return {
        "operationId": "classify_document",
        "summary": "Cut a document into paragraphs and classify each",
        "description": "The document is JSON text or an uploaded file.",
        "parameters": [_accept_language()],
        "requestBody": _document(),
        "responses": {
            "200": {
                "description": "Topics of each paragraph and of the document",
                "content": _json("DocumentClassification", DOCUMENT_CLASSIFIED),
            },
            **_problems(*DOCUMENT_FAULTS),
        },
    }


def _read_document() -> dict[str, Any]:
    return {
        "operationId": "read_document",
        "summary": "Read the text of a document",
        "description": "For those who send a long one to /classify_document part by part, cut at line breaks.",
        "requestBody": _document(),
        "responses": {
            "200": {"description": "The text", "content": _json("DocumentText", DOCUMENT_READ)},
            **_problems(*DOCUMENT_FAULTS),
        },
    }


def _explain() -> dict[str, Any]:
    return {
        "operationId": "explain",
        "summary": "The words of a paragraph that a topic rests on",
        "description": "Each word is left out in turn and the rest is classified (occlusion): a request costs as much "
        "as classifying the paragraph once for each of its words.",
        "requestBody": {"required": True, "content": _json("ExplainRequest", EXPLAIN)},
        "responses": {
            "200": {"description": "What each word weighs", "content": _json("Explanation", EXPLAINED)},
            **_problems(
                "malformed", "too_large", "unsupported_type", "invalid", "busy", "internal", "not_ready", "timeout"
            ),
        },
    }


def _page_file() -> dict[str, Any]:
    name = {"name": "file", "in": "path", "required": True, "schema": {"type": "string"}}
    files = {"description": "The file", "content": {"text/css": {}, "text/javascript": {}, "text/html": {}}}
    return {
        "summary": "A file of the page",
        "parameters": [name],
        "responses": {"200": files, **_problems("not_found")},
    }


def _document() -> dict[str, Any]:
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
        "required": True,
        "content": {
            **_json("DocumentRequest", DOCUMENT),
            "multipart/form-data": {"schema": multipart, "encoding": {"options": {"contentType": "application/json"}}},
        },
    }


def _feedback() -> dict[str, Any]:
    stored = _json("FeedbackStored", FEEDBACK_STORED)
    return {
        "operationId": "feedback",
        "summary": "Correct the topics of paragraphs",
        "description": "Answered when the corrections are on the disk; all of a request are stored, or none.",
        "requestBody": {"required": True, "content": _json("FeedbackRequest", FEEDBACK)},
        "responses": {
            "200": {"description": "All of them had been stored before", "content": stored},
            "201": {"description": "Stored", "content": stored},
            **_problems(
                "malformed",
                "no_consent",
                "feedback_off",
                "conflict",
                "too_large",
                "unsupported_type",
                "invalid",
                "busy",
                "internal",
                "not_ready",
                "feedback_unavailable",
                "timeout",
            ),
        },
    }


def _queue() -> dict[str, Any]:
    return {
        "operationId": "queue",
        "summary": "Paragraphs that are worth a label",
        "description": "Those of `policy-topics data suggest` that nobody has corrected yet, the most useful first.",
        "parameters": [
            {"name": "offset", "in": "query", "schema": {"type": "integer", "minimum": 0, "default": 0}},
            {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "default": QUEUE_SHOWN}},
        ],
        "responses": {
            "200": {"description": "Paragraphs", "content": _json("QueueAnswer")},
            **_problems("feedback_off", "invalid", "internal", "feedback_unavailable", "timeout"),
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
    requests = (ClassifyRequest, DocumentRequest, ExplainRequest, FeedbackRequest, Options)
    answers = (
        Classification,
        DocumentClassification,
        DocumentText,
        Explanation,
        FeedbackStored,
        ModelAnswer,
        QueueAnswer,
        Taxonomy,
        ProblemDetails,
    )
    inputs: list[tuple[str, JsonSchemaMode, TypeAdapter[Any]]] = [
        *((model.__name__, "validation", TypeAdapter(model)) for model in requests),
        *((model.__name__, "serialization", TypeAdapter(model)) for model in answers),
    ]
    _, schemas = TypeAdapter.json_schemas(inputs, ref_template=REF)
    definitions: dict[str, Any] = schemas["$defs"]
    return definitions
