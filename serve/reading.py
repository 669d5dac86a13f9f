"""From request bodies to texts, and the 4xx of bodies that do not fit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile
from starlette.requests import Request

from configs.settings import ServeSettings
from policy_topics.documents import Document
from serve.problems import FieldError, Problem, invalid, too_long, unusable
from serve.schemas import ClassifyRequest, DocumentRequest, ExplainRequest, Options
from serve.uploads.pool import Uploads

Body = TypeVar("Body", bound=BaseModel)

JSON = "application/json"
MULTIPART = "multipart/form-data"
MAX_OPTIONS_BYTES = 4096
"""Longest `options` field of a multipart body."""


def media_type(request: Request) -> str:
    """The media type of the body without its parameters; "" if the client names none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def unsupported(request: Request, wanted: str) -> Problem:
    """The 415 for a body of another type than `wanted`."""
    got = media_type(request) or "missing"
    return Problem(
        "unsupported_type",
        f"Content-Type is {got}; {request.url.path} takes {wanted}.",
        f"Content-Type 为 {got}；{request.url.path} 接受 {wanted}。",
    )


def read_items(body: bytes, limits: ServeSettings) -> ClassifyRequest:
    """The items of a /classify body, within their limits."""
    asked = _parse(ClassifyRequest, body)
    if len(asked.items) > limits.max_items:
        raise Problem(
            "too_large",
            f"{len(asked.items)} items are more than {limits.max_items} (serve.max_items); send them in parts.",
            f"共 {len(asked.items)} 条，超过上限 {limits.max_items} 条（serve.max_items），请分批发送。",
        )
    longest = limits.max_item_characters
    message = f"longer than {longest} characters (serve.max_item_characters); send it to /classify_document"
    too_long = [
        FieldError(item=index, field="text", message=message)
        for index, item in enumerate(asked.items)
        if len(item.text) > longest
    ]
    if too_long:
        raise invalid(too_long)
    return asked


def read_explain(body: bytes, limits: ServeSettings) -> ExplainRequest:
    """The body of /explain, within its limit."""
    asked = _parse(ExplainRequest, body)
    if len(asked.text) > limits.max_item_characters:
        raise invalid([_fault("text", f"longer than {limits.max_item_characters} characters; send one paragraph")])
    return asked


async def receive_document(
    request: Request, limits: ServeSettings, uploads: Uploads
) -> Callable[[], Awaitable[tuple[Document, Options]]]:
    """Receive a /classify_document body. What comes back reads the document in it; that takes long."""
    if media_type(request) == JSON:
        return partial(asyncio.to_thread, _read_json, await request.body(), limits)
    if media_type(request) == MULTIPART:
        uploads.check()
        return partial(_read_file, *await _receive_file(request), uploads)
    raise unsupported(request, f"{JSON}, or {MULTIPART} with a field `file`")


def _read_json(body: bytes, limits: ServeSettings) -> tuple[Document, Options]:
    asked = _parse(DocumentRequest, body)
    document = Document(name=asked.name, text=asked.text, media_type="text/plain", encoding=None)
    return _within(document, limits), asked.options


async def _read_file(data: bytes, name: str, options: Options, uploads: Uploads) -> tuple[Document, Options]:
    return await uploads.read(data, name), options


async def _receive_file(request: Request) -> tuple[bytes, str, Options]:
    async with request.form(max_files=1, max_fields=1, max_part_size=MAX_OPTIONS_BYTES) as form:
        unknown = [_fault(key, "unknown field") for key in form if key not in ("file", "options")]
        if unknown:
            raise invalid(unknown)
        file, options = form.get("file"), form.get("options", "{}")
        if not isinstance(file, UploadFile):
            raise invalid([_fault("file", "a file is required")])
        if not isinstance(options, str):
            raise invalid([_fault("options", "must be JSON text, not a file")])
        return await file.read(), file.filename or "", _parse(Options, options.encode(), under="options")


def _parse(schema: type[Body], body: bytes, under: str = "") -> Body:
    try:
        return schema.model_validate_json(body)
    except ValidationError as fault:
        raise unusable(fault, under) from None


def _within(document: Document, limits: ServeSettings) -> Document:
    if len(document.text) > limits.max_document_characters:
        raise too_long(len(document.text), limits.max_document_characters)
    return document


def _fault(field: str, message: str) -> FieldError:
    return FieldError(item=None, field=field, message=message)
