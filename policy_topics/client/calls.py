"""What both clients ask for: each call as a request, without sending it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx

from policy_topics.client.errors import ClientError

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
        file = (name or _name(text_or_file), text_or_file.read_bytes())
        fields = {"files": {"file": file}, "data": {"options": json.dumps(options)}}
        return Call("POST", "/classify_document", fields)
    body = {"text": text_or_file, "name": name, "options": options}
    return post("/classify_document", json.dumps(body).encode())


def options(top_k: int | None, threshold: float | None, crosswalk: bool) -> dict[str, object]:
    """The options of /classify and /classify_document."""
    return {"top_k": top_k, "threshold": threshold, "crosswalk": crosswalk}


def settings(url: str, api_key: str | None, language: Language, timeout: float) -> dict[str, Any]:
    """What httpx is told once for all requests.

    Raises:
        ClientError: `url` is no address.
    """
    key = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    return {
        "base_url": _address(url),
        "headers": {"Accept-Language": language, "User-Agent": "policy-topics", **key},
        "timeout": httpx.Timeout(timeout, connect=CONNECT_SECONDS),
    }


def _address(url: str) -> httpx.URL:
    try:
        address = httpx.URL(url)
        whole = address.scheme in ("http", "https") and bool(address.host)
    except httpx.InvalidURL:
        whole = False
    if not whole:
        raise ClientError(
            f"{url!r} is no address of a service; write it whole, such as http://127.0.0.1:3000. "
            "地址不完整，请写成 http://127.0.0.1:3000 的形式。"
        )
    return address


def _name(file: Path) -> str:
    """A file's name as text: bytes that are no UTF-8 are read as GB18030, as Chinese systems wrote them."""
    raw = os.fsencode(file.name)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("gb18030", "replace")
