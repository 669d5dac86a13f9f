"""Who is let in: clients with a key, where keys are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from configs.settings import ServeSettings
from policy_topics.classifier import Classifier
from serve.access import keys
from serve.access.authentication import Access
from serve.access.keys import KeyRing, add_key, revoke_key
from serve.app import create_app
from tests.service import FARMING, HERE, problem, serving, settings

ELSEWHERE = ("203.0.113.9", 50000)
BODY = {"items": [{"text": FARMING}]}


@pytest.fixture(autouse=True)
def _looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "LOOK_SECONDS", 0.0)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys") / "keys.json"


@pytest.fixture(scope="module")
def key(shared: Path) -> str:
    return add_key(shared, "统计处")[1]


@pytest.fixture(scope="module")
def guarded(classifier: Classifier, shared: Path, key: str) -> Iterator[TestClient]:
    yield from serving(create_app(settings(keys="required", keys_file=shared), lambda: classifier))


class TestService:
    @pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "BEARER  {} "])
    def test_a_bearer_key_lets_in(self, guarded: TestClient, key: str, form: str) -> None:
        headers = {"Authorization": form.format(key)}
        assert guarded.post("/classify", json=BODY, headers=headers).status_code == 200

    def test_a_key_in_a_header_of_its_own_lets_in_whatever_a_proxy_puts_into_the_other(
        self, guarded: TestClient, key: str
    ) -> None:
        headers = {"X-API-Key": key, "Authorization": "Basic cHJveHk6cGFzcw=="}
        assert guarded.get("/topics", headers=headers).status_code == 200

    def test_a_proxys_own_token_does_not_hide_a_key(self, guarded: TestClient, key: str) -> None:
        token = "Bearer eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJwcm94eSJ9.c2lnbmF0dXJl"
        assert guarded.get("/topics", headers={"X-API-Key": key, "Authorization": token}).status_code == 200
        headers = {"X-API-Key": "pt_wrong", "Authorization": f"Bearer {key}"}
        assert guarded.get("/topics", headers=headers).status_code == 200
        headers = {"X-API-Key": "pt_wrong", "Authorization": token}
        problem(guarded.get("/topics", headers=headers), 401, "unauthorized")

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"Authorization": "Bearer"},
            {"Authorization": "Bearer pt_wrong"},
            {"X-API-Key": ""},
            {"X-API-Key": "pt_ÿ"},
            {"Authorization": "Basic cHQ6cHQ="},
        ],
    )
    def test_others_get_the_same_401(self, guarded: TestClient, headers: dict[str, str]) -> None:
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        answers = [guarded.post("/classify", json=BODY, headers=encoded), guarded.get("/topics", headers=encoded)]
        for answer in (*answers, guarded.get("/nowhere", headers=encoded)):
            assert problem(answer, 401, "unauthorized") == problem(guarded.get("/model"), 401, "unauthorized")
            assert answer.headers["www-authenticate"] == "Bearer"

    @pytest.mark.parametrize("path", ["/", "/livez", "/readyz", "/metrics", "/docs.json"])
    def test_the_page_and_what_machines_ask_are_open(self, guarded: TestClient, path: str) -> None:
        assert guarded.get(path).status_code == 200

    @pytest.mark.parametrize(
        "path", ["/page/../topics", "/page/%2e%2e/topics", "/topics/", "/page", "/metrics/../topics"]
    )
    def test_no_other_way_of_writing_a_path_leads_past_the_keys(self, guarded: TestClient, path: str) -> None:
        assert guarded.get(path).status_code in (401, 404)

    def test_a_revoked_key_does_not_let_in_any_more(self, guarded: TestClient, shared: Path) -> None:
        made, text = add_key(shared, "leaver")
        headers = {"X-API-Key": text}
        assert guarded.get("/topics", headers=headers).status_code == 200
        revoke_key(shared, made.id)
        problem(guarded.get("/topics", headers=headers), 401, "unauthorized")

    def test_on_this_machine_no_key_is_asked_for_and_from_elsewhere_one_is(
        self, classifier: Classifier, shared: Path, key: str
    ) -> None:
        app = create_app(settings(keys_file=shared), lambda: classifier)
        for client in serving(app):
            assert client.get("/topics").status_code == 200
            outside = TestClient(app, client=ELSEWHERE)
            problem(outside.get("/topics"), 401, "unauthorized")
            assert outside.get("/topics", headers={"X-API-Key": key}).status_code == 200

    @pytest.mark.parametrize(
        ("address", "status"),
        [
            ("127.0.0.1", 200),
            ("::1", 200),
            ("::ffff:127.0.0.1", 200),
            ("::ffff:203.0.113.9", 401),
            ("unknown", 401),
            ("203.0.113.9:80", 401),
            ("", 401),
        ],
    )
    def test_a_client_is_on_this_machine_if_its_address_says_so(
        self, classifier: Classifier, shared: Path, key: str, address: str, status: int
    ) -> None:
        app = create_app(settings(keys_file=shared), lambda: classifier)
        for _ in serving(app):
            assert TestClient(app, client=(address, 50000)).get("/topics").status_code == status

    def test_an_address_that_a_proxy_does_not_know_is_elsewhere(
        self, classifier: Classifier, shared: Path, key: str
    ) -> None:
        app = create_app(settings(keys_file=shared), lambda: classifier)
        for _ in serving(app):
            behind = TestClient(ProxyHeadersMiddleware(app), client=HERE)
            assert behind.get("/topics", headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 200
            problem(behind.get("/topics", headers={"X-Forwarded-For": "unknown"}), 401, "unauthorized")

    def test_switched_off_on_purpose_everyone_is_let_in(self, classifier: Classifier) -> None:
        app = create_app(settings(host="0.0.0.0", keys="off"), lambda: classifier)
        for _ in serving(app):
            assert TestClient(app, client=ELSEWHERE).get("/topics").status_code == 200

    def test_the_openapi_document_has_the_keys(self, guarded: TestClient) -> None:
        document = guarded.get("/docs.json").json()
        assert set(document["components"]["securitySchemes"]) == {
            name for each in document["security"] for name in each
        }
        for path, operations in document["paths"].items():
            for operation in operations.values():
                opened = operation.get("security") == []
                assert opened == (guarded.get(path).status_code != 401)
                assert ("401" in operation["responses"]) == (not opened)


class TestName:
    def test_without_a_network_no_key_is_asked_for(self, shared: Path) -> None:
        async def served(request: Request) -> PlainTextResponse:
            return PlainTextResponse("")

        app = Access(Starlette(routes=[Route("/served", served)]), settings().serve, KeyRing(shared))

        async def through_a_socket_file(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, "client": None}, receive, send)

        assert TestClient(through_a_socket_file).get("/served").status_code == 200

    @pytest.mark.parametrize(("mode", "name"), [("required", "统计处"), ("off", None)])
    def test_endpoints_know_whose_key_it_was(self, shared: Path, key: str, mode: str, name: str | None) -> None:
        async def whose(request: Request) -> PlainTextResponse:
            return PlainTextResponse(repr(request.state.key_name))

        serve: ServeSettings = settings(keys=mode).serve
        app = Access(Starlette(routes=[Route("/whose", whose)]), serve, KeyRing(shared))
        assert TestClient(app).get("/whose", headers={"X-API-Key": key}).text == repr(name)
