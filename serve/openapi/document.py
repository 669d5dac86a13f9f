"""The OpenAPI document of the service, made of the schemas, the settings' limits and the problem codes."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from configs.settings import ServeSettings
from configs.taxonomy import Taxonomy
from serve.access.authentication import is_open
from serve.access.keys import asks_everyone
from serve.explain import MOST_READINGS
from serve.openapi.examples import (
    CLASSIFIED,
    CLASSIFY,
    DOCUMENT,
    DOCUMENT_CLASSIFIED,
    DOCUMENT_READ,
    EXPLAIN,
    EXPLAINED,
    FEEDBACK,
    FEEDBACK_STORED,
)
from serve.openapi.parts import REF, accept_language, faults, getter, json_body, plain, probe
from serve.page_files import MEDIA_TYPES
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

ABOUT = """\
Which policy topics a Chinese policy text is about, paragraph by paragraph, with calibrated probabilities.

给中文政策文本逐段标注政策主题，并给出校准后的概率。

**Limits** (settings `serve.…`; a request beyond one is refused whole, nothing is cut off): a body of {max_body_bytes}
bytes, {max_items} items in a request, {max_item_characters} characters in an item, {max_document_characters} characters
in a document, {timeout_seconds} s for an answer.

**Texts** are cleaned first: pinyin glosses go, Traditional becomes Simplified, boilerplate lines and what stands around
the article of a web page are dropped. Text without words has no topics; that is no error.

**Offsets** `start` and `end` are counted in Unicode code points of the document as it was decoded, before cleaning
(as in Python's `str`; a JavaScript string counts characters beyond the BMP twice).

**Corrections** are stored with consent only, each once: send one again with the same id where an answer did not come.

**Keys** Where the service asks for one, send it as `Authorization: Bearer KEY` or `X-API-Key: KEY`; without a valid one
the answer is 401. 服务要求密钥时，请在请求头中给出。{rate}

**Errors** are `application/problem+json` (RFC 9457) with a stable `code`: {codes}. With 429 comes
`Retry-After`, and with 503 unless waiting does not help. Unknown fields are refused."""

SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}

DOCUMENT_FAULTS = (
    "malformed",
    "unsupported_type",
    "invalid",
    "unreadable_document",
    "busy",
    "not_ready",
)

ANYWHERE = ("too_large", "internal", "timeout")
"""Problems of every path: a body is measured even where none is read."""


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
            "/queue": {"get": _queue(limits.max_items)},
            "/topics": {"get": getter("The taxonomy: topics, definitions, crosswalks", "Taxonomy", ["not_ready"])},
            "/model": {
                "get": getter("The model that answers, its metrics and the limits", "ModelAnswer", ["not_ready"])
            },
            "/livez": {"get": probe("Whether the process lives")},
            "/readyz": {"get": probe("Whether the model is loaded and has run")},
            "/metrics": {"get": plain("Metrics for Prometheus", "text/plain")},
            "/docs.json": {"get": plain("This document", "application/json")},
            "/": {"get": plain("A page to paste text into", "text/html")},
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
    """Add what a request meets around an endpoint: a key is asked for, requests are counted, bytes and seconds too."""
    opened = is_open(path)
    if opened:
        operation["security"] = []
    answers: dict[str, Any] = operation["responses"]
    for status, met in faults(*ANYWHERE, *(() if opened else ("unauthorized", "rate_limited"))).items():
        own = answers.setdefault(status, met)
        if own is not met:
            own["description"] += f"; {met['description']}"
    operation["responses"] = dict(sorted(answers.items()))


def _classify() -> dict[str, Any]:
    return {
        "operationId": "classify",
        "summary": "Classify paragraphs",
        "description": "The results are in the order of the items.",
        "parameters": [accept_language()],
        "requestBody": {"required": True, "content": json_body("ClassifyRequest", CLASSIFY)},
        "responses": {
            "200": {"description": "Topics of each item", "content": json_body("Classification", CLASSIFIED)},
            **faults("malformed", "unsupported_type", "invalid", "busy", "not_ready"),
        },
    }


def _classify_document() -> dict[str, Any]:
    return {
        "operationId": "classify_document",
        "summary": "Cut a document into paragraphs and classify each",
        "description": "The document is JSON text or an uploaded file.",
        "parameters": [accept_language()],
        "requestBody": _document(),
        "responses": {
            "200": {
                "description": "Topics of each paragraph and of the document",
                "content": json_body("DocumentClassification", DOCUMENT_CLASSIFIED),
            },
            **faults(*DOCUMENT_FAULTS),
        },
    }


def _read_document() -> dict[str, Any]:
    return {
        "operationId": "read_document",
        "summary": "Read the text of a document",
        "description": "For those who send a long one to /classify_document part by part, cut at line breaks.",
        "requestBody": _document(),
        "responses": {
            "200": {"description": "The text", "content": json_body("DocumentText", DOCUMENT_READ)},
            **faults(*DOCUMENT_FAULTS),
        },
    }


def _explain() -> dict[str, Any]:
    return {
        "operationId": "explain",
        "summary": "The words of a paragraph that a topic rests on",
        "description": "Each word is left out in turn and the rest is classified (occlusion): a request costs as much "
        "as classifying the paragraph once for each of its words. Where it has more than "
        f"{MOST_READINGS} words, or is so long that this would take seconds, runs of neighbouring words are left out "
        "together, and a span is such a run.",
        "requestBody": {"required": True, "content": json_body("ExplainRequest", EXPLAIN)},
        "responses": {
            "200": {"description": "What each word weighs", "content": json_body("Explanation", EXPLAINED)},
            **faults("malformed", "unsupported_type", "invalid", "busy", "not_ready"),
        },
    }


def _page_file() -> dict[str, Any]:
    name = {"name": "file", "in": "path", "required": True, "schema": {"type": "string"}}
    files = {"description": "The file", "content": {media_type: {} for media_type in MEDIA_TYPES.values()}}
    return {
        "summary": "A file of the page",
        "parameters": [name],
        "responses": {"200": files, **faults("not_found")},
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
            **json_body("DocumentRequest", DOCUMENT),
            "multipart/form-data": {"schema": multipart, "encoding": {"options": {"contentType": "application/json"}}},
        },
    }


def _feedback() -> dict[str, Any]:
    stored = json_body("FeedbackStored", FEEDBACK_STORED)
    return {
        "operationId": "feedback",
        "summary": "Correct the topics of paragraphs",
        "description": "Answered when the corrections are on the disk; all of a request are stored, or none.",
        "requestBody": {"required": True, "content": json_body("FeedbackRequest", FEEDBACK)},
        "responses": {
            "200": {"description": "All of them had been stored before", "content": stored},
            "201": {"description": "Stored", "content": stored},
            **faults(
                "malformed",
                "no_consent",
                "feedback_off",
                "conflict",
                "unsupported_type",
                "invalid",
                "busy",
                "not_ready",
                "feedback_unavailable",
            ),
        },
    }


def _queue(most: int) -> dict[str, Any]:
    limit = {"type": "integer", "minimum": 1, "default": QUEUE_SHOWN}
    return {
        "operationId": "queue",
        "summary": "Paragraphs that are worth a label",
        "description": "Those of `policy-topics data suggest` that nobody has corrected yet, the most useful first.",
        "parameters": [
            {"name": "offset", "in": "query", "schema": {"type": "integer", "minimum": 0, "default": 0}},
            {"name": "limit", "in": "query", "description": f"At most {most} are given.", "schema": limit},
        ],
        "responses": {
            "200": {"description": "Paragraphs", "content": json_body("QueueAnswer")},
            **faults("feedback_off", "invalid", "feedback_unavailable"),
        },
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
