"""Headers that have browsers run nothing, frame nothing, keep nothing and tell nobody."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

import pytest
from starlette.testclient import TestClient

from policy_topics.classifier import Classifier
from serve.app import create_app
from tests.service import FARMING, problem, serving, settings

PORTAL = "https://portal.example"


@pytest.fixture(scope="module")
def shared(classifier: Classifier) -> Iterator[TestClient]:
    """A service that lets pages of another host use it, and asks for keys."""
    yield from serving(create_app(settings(cors_origins=[PORTAL], keys="required"), lambda: classifier))


def policy(client: TestClient, path: str) -> dict[str, str]:
    text = client.get(path).headers["content-security-policy"]
    return dict(part.strip().split(" ", 1) for part in text.split(";"))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 200), ("GET", "/topics", 200), ("GET", "/docs.json", 200), ("GET", "/metrics", 200),
     ("GET", "/readyz", 200), ("GET", "/nowhere", 404), ("GET", "/page/nowhere", 404), ("PUT", "/classify", 405),
     ("POST", "/classify", 415)],
)  # fmt: skip
def test_every_answer_has_them(client: TestClient, method: str, path: str, status: int) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def test_so_have_those_that_come_before_or_instead_of_an_endpoint(
    small: TestClient, shared: TestClient, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object, texts: object) -> NoReturn:
        raise RuntimeError("a fault of ours")

    too_large = small.post("/classify", content=b" " * 3000, headers={"Content-Type": "application/json"})
    problem(too_large, 413, "too_large")
    stranger = shared.get("/topics")
    problem(stranger, 401, "unauthorized")
    monkeypatch.setattr(Classifier, "tokenise", fail)
    broken = small.post("/classify", json={"items": [{"text": FARMING}]})
    problem(broken, 500, "internal")
    for answer in (too_large, stranger, broken):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"


def test_answers_with_users_texts_are_kept_nowhere(client: TestClient) -> None:
    answer = client.post("/classify_document", json={"text": FARMING})
    assert FARMING in answer.text
    assert answer.headers["cache-control"] == "no-store"


def test_data_runs_nothing(client: TestClient) -> None:
    assert policy(client, "/topics")["default-src"] == "'none'"
    assert "script-src" not in policy(client, "/topics")


def test_the_page_runs_and_loads_what_is_its_own(client: TestClient) -> None:
    rules = policy(client, "/")
    assert rules["default-src"] == rules["form-action"] == rules["base-uri"] == "'none'"
    assert rules["connect-src"] == "'self'"
    for rule in ("script-src", "style-src"):
        assert rules[rule].startswith("'self'")
        assert "unsafe" not in rules[rule] and "://" not in rules[rule] and "*" not in rules[rule]


class TestOtherHosts:
    def test_pages_of_other_hosts_get_no_leave_unless_set(self, client: TestClient) -> None:
        answer = client.get("/topics", headers={"Origin": PORTAL})
        assert not [name for name in answer.headers if name.startswith("access-control")]

    def test_a_host_that_is_set_gets_it_before_a_key_is_asked_for(self, shared: TestClient) -> None:
        asked = {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        }
        answer = shared.options("/classify", headers={"Origin": PORTAL, **asked})
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == PORTAL
        stranger = shared.get("/topics", headers={"Origin": PORTAL})
        problem(stranger, 401, "unauthorized")
        assert stranger.headers["access-control-allow-origin"] == PORTAL

    def test_another_host_gets_none(self, shared: TestClient) -> None:
        asked = {"Origin": "https://other.example", "Access-Control-Request-Method": "POST"}
        answer = shared.options("/classify", headers=asked)
        assert answer.status_code == 400
        assert "access-control-allow-origin" not in answer.headers
        assert answer.headers["x-content-type-options"] == "nosniff"
