"""docs/api.md: every request in it is sent, and answered as it says, by the model that is in the repository."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from configs.settings import EMBEDDED, HOME, load_settings
from configs.taxonomy import MOST_TOPICS
from policy_topics.classifier import Classifier
from policy_topics.documents import LARGEST_UNPACKED
from serve.app import create_app
from serve.explain import MOST_READINGS
from serve.openapi.document import openapi
from serve.page_files import FOLDER, MEDIA_TYPES
from serve.problems import CODES, MOST_ERRORS
from serve.reading import MAX_OPTIONS_BYTES
from serve.schemas import QUEUE_SHOWN, DocumentRequest, Item
from serve.uploads.pool import MOST_WAITING
from tests.listening import listening
from tests.service import problem, serving

DOCS = (HOME / "docs" / "api.md").read_text("utf-8")
EXAMPLES = re.findall(r"```bash\n(curl .*?)```\n\n(?:`(\d{3})`\n\n)?```json\n(.*?)```", DOCS, re.DOTALL)
MORE = "…"
"""In an answer of the docs: and so on."""
OWN = {"version", "model", "engine", "tokens", "weight", "probability", "share"}
"""Keys whose values another model has otherwise."""


def documented(folder: Path) -> Starlette:
    """An app with the model of the repository, and the queue that the docs show."""
    (queued,) = (answer["items"] for answer in map(_answer, EXAMPLES) if "total" in answer)
    queue = folder / "queue.jsonl"
    queue.write_text("".join(json.dumps(item, ensure_ascii=False) + "\n" for item in queued), "utf-8")
    flags = {"feedback.url": f"sqlite:///{folder / 'feedback.db'}", "feedback.queue": queue, "bundle": EMBEDDED}
    settings = load_settings(None, flags)
    return create_app(settings, lambda: Classifier.load(EMBEDDED, settings.engine))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    yield from serving(documented(tmp_path_factory.mktemp("docs")))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example[0].split()[1].rpartition("3000")[2])
def test_each_example_is_answered_as_it_says(service: TestClient, example: tuple[str, str, str]) -> None:
    answer = send(service, example[0])
    assert answer.status_code == int(example[1] or 200), answer.text
    assert differences(_answer(example), answer.json()) == []


def test_the_example_of_the_client_is_answered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)
    with listening(documented(tmp_path)) as url:
        exec(example.replace("http://127.0.0.1:3000", url), {})
    topics, paragraphs = capsys.readouterr().out.splitlines()
    assert topics.startswith("agriculture [('Agriculture and rural revitalisation', ")
    assert paragraphs.count("'emergency'") == 2


def test_every_path_is_described() -> None:
    paths = set(openapi(load_settings().serve)["paths"]) - {"/page/{file}"}
    assert {path for path in paths if f"`{path}`" not in DOCS and f"`GET {path}`" not in DOCS} - _headed() == set()


def test_every_operation_has_the_answers_that_any_request_can_get() -> None:
    for path, operations in openapi(load_settings().serve)["paths"].items():
        for operation in operations.values():
            assert {"413", "500", "504"} <= operation["responses"].keys(), path
            assert list(operation["responses"]) == sorted(operation["responses"]), path
            for answer in operation["responses"].values():
                codes = re.findall(r"`(\w+)`", answer["description"])
                assert len(codes) == len(set(codes)), path


@pytest.mark.parametrize("path", ["/", "/topics", "/metrics"])
def test_a_body_too_large_is_refused_where_none_is_read(service: TestClient, path: str) -> None:
    problem(service.get(path, headers={"Content-Length": "99999999"}), 413, "too_large")


def test_the_types_of_all_files_of_the_page_are_told() -> None:
    answer = openapi(load_settings().serve)["paths"]["/page/{file}"]["get"]["responses"]["200"]
    assert {MEDIA_TYPES[file.suffix] for file in FOLDER.iterdir()} <= answer["content"].keys()


def test_a_503_may_come_without_a_time_to_wait() -> None:
    header = openapi(load_settings().serve)["paths"]["/topics"]["get"]["responses"]["503"]["headers"]["Retry-After"]
    assert "absent" in header["description"] and not header.get("required")


def test_every_error_is_in_the_table() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\d{3}) \|", DOCS, re.MULTILINE)
    assert dict(rows) == {code: str(status) for code, (status, _) in CODES.items()}


def test_the_limits_are_those_of_the_settings() -> None:
    settings = load_settings()
    for section, name, value in re.findall(r"^\| `(serve|feedback)\.(\w+)` \| ([\d,]+)", DOCS, re.MULTILINE):
        assert getattr(getattr(settings, section), name) == int(value.replace(",", "")), name


def test_the_fixed_limits_are_those_of_the_code() -> None:
    (fixed,) = re.findall(r"^Fixed are (.*?)\n\n", DOCS, re.MULTILINE | re.DOTALL)
    name = DocumentRequest.model_json_schema()["properties"]["name"]
    id, _ = Item.model_json_schema()["properties"]["id"]["anyOf"]
    assert f"{name['maxLength']} characters" in fixed and id["maxLength"] == name["maxLength"]
    assert f"{LARGEST_UNPACKED >> 20} MiB" in fixed
    assert f"{MAX_OPTIONS_BYTES >> 10} KiB" in fixed
    assert f"{MOST_WAITING} files" in fixed
    assert f"first {MOST_ERRORS} fields" in fixed
    assert MOST_TOPICS == 4 and "four topics" in fixed
    assert re.search(rf"more than {MOST_READINGS}\s+words", DOCS)
    assert f"`?limit=` ({QUEUE_SHOWN}," in DOCS


def send(service: TestClient, curl: str) -> Any:
    """What a curl command sends; it knows the few options that the docs use."""
    words = iter(shlex.split(curl.replace("\\\n", ""))[1:])
    url, headers, body, files = "", {}, None, None
    for word in words:
        if word == "-H":
            name, _, value = next(words).partition(": ")
            headers[name] = value
        elif word == "-d":
            body = next(words)
        elif word == "-F":
            name, _, file = next(words).partition("=@")
            files = {name: (Path(file).name, (HOME / file).read_bytes())}
        else:
            url = word.removeprefix("http://127.0.0.1:3000")
    method = "POST" if body is not None or files else "GET"
    return service.request(method, url, headers=headers, content=body, files=files)


def differences(told: Any, got: Any, place: str = "answer") -> list[str]:
    """Where an answer has another form, or another value where it does not depend on the model."""
    if isinstance(told, dict) and isinstance(got, dict):
        named = told.keys() - {MORE}
        missing = [f"{place}.{key} is missing" for key in named - got.keys()]
        unknown = [] if MORE in told else [f"{place}.{key} is not told" for key in got.keys() - named]
        both = [key for key in named & got.keys() if key not in OWN or isinstance(told[key], dict | list)]
        deeper = [each for key in both for each in differences(told[key], got[key], f"{place}.{key}")]
        return missing + unknown + deeper
    if isinstance(told, list) and isinstance(got, list):
        some = MORE in told
        told = [each for each in told if each != MORE]
        if len(got) < len(told) or (len(got) > len(told) and not some):
            return [f"{place} has {len(got)} elements: {got}"]
        pairs = enumerate(zip(told, got, strict=False))
        return [fault for i, (ours, theirs) in pairs for fault in differences(ours, theirs, f"{place}.{i}")]
    return [] if told == got else [f"{place} is {got!r}, not {told!r}"]


def _answer(example: tuple[str, str, str]) -> Any:
    return json.loads(example[2])


def _headed() -> set[str]:
    """Paths that have a heading of their own."""
    return set(re.findall(r"^## (?:GET|POST) (/\w*)$", DOCS, re.MULTILINE))
