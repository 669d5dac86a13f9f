"""The Python client, against the real app."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from configs.settings import Settings, override
from policy_topics.classifier import Classifier
from policy_topics.client import AsyncClient, Classified, Client, Corrected, Incomplete, ServiceError, UnusableTexts
from policy_topics.client.answers import classified_document
from serve.access.keys import add_key
from serve.app import create_app
from tests.listening import listening
from tests.service import DIGITAL, FARMING, SAFETY, settings

TEXTS = [f"{text}{number}" for number in range(4) for text in (FARMING, DIGITAL, SAFETY)]


@pytest.fixture(scope="module")
def service(classifier: Classifier, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service that takes few texts at once, and starts while it is asked already."""
    small = override(settings(max_items=5, max_body_bytes=2000, max_item_characters=400), store(tmp_path_factory))
    with listening(create_app(small, lambda: classifier)) as url:
        yield url


def store(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    return {"feedback.url": f"sqlite:///{tmp_path_factory.mktemp('feedback')}/feedback.db"}


def test_any_number_of_texts_comes_back_in_order(service: str, classifier: Classifier) -> None:
    offline = classifier.classify(TEXTS)
    with Client(service) as client:
        results = client.classify(TEXTS, threshold=0.0)
    assert [result.tokens for result in results] == [each.tokens for each in offline]
    for result, each in zip(results, offline, strict=True):
        assert result.topics[0].probability == pytest.approx(float(each.probabilities.max()), abs=2e-4)
        assert result.model.version == classifier.bundle.version


def test_both_clients_give_the_same(service: str) -> None:
    async def ask() -> list[Classified]:
        async with AsyncClient(service) as client:
            return await client.classify(TEXTS, top_k=2, crosswalk=True)

    with Client(service) as client:
        assert asyncio.run(ask()) == client.classify(TEXTS, top_k=2, crosswalk=True)


def test_no_texts_have_no_results(service: str) -> None:
    with Client(service) as client:
        assert client.classify([]) == []


def test_a_file_is_read_like_its_text(service: str, tmp_path: Path) -> None:
    text = f"{FARMING}\n\n{DIGITAL}"
    (tmp_path / "通知.txt").write_text(text, "gb18030")

    async def ask() -> tuple[object, object]:
        async with AsyncClient(service, language="en") as client:
            file = await client.classify_document(tmp_path / "通知.txt", threshold=0.5)
            return file, await client.classify_document(text, name="通知", threshold=0.5)

    with Client(service, language="en") as client:
        file = client.classify_document(tmp_path / "通知.txt", threshold=0.5)
        typed = client.classify_document(text, name="通知", threshold=0.5)
    assert (file, typed) == asyncio.run(ask())
    assert (file.encoding, file.name, typed.name) == ("gb18030", "通知.txt", "通知")
    assert [text[each.start : each.end] for each in file.paragraphs] == [FARMING, DIGITAL]
    assert (file.paragraphs, file.topics) == (typed.paragraphs, typed.topics)


def test_what_was_not_read_of_a_document_is_told() -> None:
    about = {"name": "a.pdf", "media_type": "application/pdf", "encoding": None, "remarks": ["no text on page(s) 2"]}
    answer = {"model": {"name": "m", "version": "1", "taxonomy": 1}, "document": about, "results": []}
    document = classified_document(answer | {"document_topics": [], "dropped": ["分享到："]})
    assert (document.remarks, document.dropped) == (("no text on page(s) 2",), ("分享到：",))


def test_a_file_name_that_is_no_utf8_is_read_as_its_writer_meant_it(service: str, tmp_path: Path) -> None:
    file = tmp_path / os.fsdecode("文件.txt".encode("gb18030"))
    file.write_text(FARMING, "utf-8")
    with Client(service) as client:
        assert client.classify_document(file).name == "文件.txt"


def test_the_taxonomy_and_the_model_are_typed(service: str, classifier: Classifier) -> None:
    with Client(service) as client:
        assert client.topics() == classifier.bundle.taxonomy
        model = client.model()
    assert (model.version, model.limits.max_items) == (classifier.bundle.version, 5)


def test_a_correction_is_stored_once(service: str) -> None:
    async def again(corrections: list[Corrected]) -> list[str]:
        async with AsyncClient(service) as client:
            return await client.feedback(corrections, consent=True)

    with Client(service) as client:
        given = client.classify(TEXTS[:6])
        corrections = [Corrected(t, g, ("agriculture",)) for t, g in zip(TEXTS[:6], given, strict=True)]
        ids = client.feedback(corrections, consent=True)
        assert ids == [str(each.id) for each in corrections] == asyncio.run(again(corrections))
        with pytest.raises(Incomplete) as refused:
            client.feedback([replace(corrections[0], topics=("fiscal",))], consent=True)
    assert isinstance(refused.value.__cause__, ServiceError)
    assert refused.value.__cause__.code == "conflict"


def test_a_problem_has_its_code_and_detail(service: str) -> None:
    with Client(service) as client, pytest.raises(ServiceError) as fault:
        client.classify_document(FARMING, top_k=0)
    assert (fault.value.status, fault.value.code) == (422, "invalid")
    assert fault.value.detail and fault.value.detail_zh
    assert [each.field for each in fault.value.faults] == ["options.top_k"]


def test_texts_that_cannot_be_sent_are_named_before_any_is(service: str) -> None:
    with Client(service) as client, pytest.raises(UnusableTexts, match="nothing was sent") as fault:
        client.classify([FARMING, "粮" * 401, "\ud83d"])
    assert sorted(fault.value.reasons) == [1, 2]


def test_the_key_is_sent(classifier: Classifier, tmp_path: Path) -> None:
    _, key = add_key(tmp_path / "keys.json", "tests")
    asking: Settings = settings(keys="required", keys_file=tmp_path / "keys.json")
    with listening(create_app(asking, lambda: classifier)) as url:
        with Client(url, api_key=key) as client:
            assert len(client.classify(TEXTS[:1])) == 1
        with Client(url, api_key="pt_wrong") as client, pytest.raises(ServiceError) as fault:
            client.classify(TEXTS)
    assert (fault.value.status, fault.value.code) == (401, "unauthorized")


def test_requests_stay_within_the_bytes_that_the_service_takes(service: str) -> None:
    with Client(service) as client:
        assert len(client.classify([FARMING * 15] * 7)) == 7
