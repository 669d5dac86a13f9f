"""What both clients ask for: each call as a request, without sending it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx

Language = Literal["zh", "en"]

CONNECT_SECONDS = 10.0
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Call:
    """One request; `arguments` are those of httpx."""

    method: Literal["GET", "POST"]
    path: str
    arguments: dict[str, Any] = field(default_factory=dict)


MODEL = Call("GET", "/model")
TOPICS = Call("GET", "/topics")


def post(path: str, body: bytes) -> Call:
    """A request with a body of JSON."""
    return Call("POST", path, {"content": body, "headers": JSON})


def document(text_or_file: str | Path, name: str, options: dict[str, object]) -> Call:
    """A document: text, or a file that is uploaded as it is.

    Raises:
        OSError: the file cannot be read.
    """
    if isinstance(text_or_file, Path):
        file = (name or text_or_file.name, text_or_file.read_bytes())
        fields = {"files": {"file": file}, "data": {"options": json.dumps(options)}}
        return Call("POST", "/classify_document", fields)
    body = {"text": text_or_file, "name": name, "options": options}
    return post("/classify_document", json.dumps(body).encode())


def options(top_k: int | None, threshold: float | None, crosswalk: bool) -> dict[str, object]:
    """The options of /classify and /classify_document."""
    return {"top_k": top_k, "threshold": threshold, "crosswalk": crosswalk}


def settings(url: str, api_key: str | None, language: Language, timeout: float) -> dict[str, Any]:
    """What httpx is told once for all requests."""
    key = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    return {
        "base_url": url,
        "headers": {"Accept-Language": language, "User-Agent": "policy-topics", **key},
        "timeout": httpx.Timeout(timeout, connect=CONNECT_SECONDS),
    }
