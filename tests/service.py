"""What the tests of the HTTP interface share: texts, an app with settings of its own, and the look of a problem."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.testclient import TestClient

from configs.settings import Settings, load_settings
from serve.problems import CODES, MEDIA_TYPE

FARMING = "会议强调，要抓好粮食生产，推进高标准农田建设。"
DIGITAL = "加快建设数字政府，推动政务数据共享。"
SAFETY = "要深入排查化工企业和建筑工地的事故隐患。"
TEXT = f"{FARMING}\n{DIGITAL}\n{SAFETY}\n"
EVERY_TOPIC = {"threshold": 0.0}
HERE = ("127.0.0.1", 50000)
"""A client on this machine."""


def settings(**serve: object) -> Settings:
    return load_settings(None, {f"serve.{key}": value for key, value in serve.items()})


def serving(app: Starlette) -> Iterator[TestClient]:
    with TestClient(app, raise_server_exceptions=False, client=HERE) as client:
        for _ in range(500):
            if client.get("/readyz").status_code == 200:
                break
            time.sleep(0.01)
        yield client


def classify(client: TestClient, *texts: str, **options: object) -> list[dict[str, Any]]:
    answer = client.post("/classify", json={"items": [{"text": text} for text in texts], "options": options})
    assert answer.status_code == 200, answer.text
    results: list[dict[str, Any]] = answer.json()["results"]
    return results


class Answer(Protocol):
    """What Starlette's test client and httpx have in common."""

    @property
    def status_code(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def text(self) -> str: ...
    def json(self) -> Any: ...


def problem(answer: Answer, status: int, code: str) -> dict[str, Any]:
    """The problem in an answer, after checks of what every problem has."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, MEDIA_TYPE), answer.text
    body: dict[str, Any] = answer.json()
    assert (body["status"], body["code"]) == (status, code)
    assert CODES[code] == (status, body["title"])
    assert body["detail"] and body["detail_zh"] and body["type"].endswith(code)
    return body
