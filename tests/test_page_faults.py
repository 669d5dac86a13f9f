"""The page in a browser when something goes wrong: what is said, what to do then, and a service that asks for keys."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from policy_topics.classifier import Classifier
from serve.access.keys import add_key
from serve.app import create_app
from tests.browser import (
    Page,
    chips,
    needs_chromium,
    opened,
    page_of,
    page_settings,
    put,
    read,
    texts,
    wait_until_read,
)
from tests.service import TEXT

pytestmark = needs_chromium


@pytest.fixture
def page(browser: Any, small_page: str) -> Iterator[Page]:
    with opened(browser, small_page) as page:
        yield page


class TestFaults:
    def test_a_file_too_large_is_said_in_the_language_in_use_with_what_to_do(self, page: Page) -> None:
        page.wait_for_selector("#model:not(:empty)")
        page.set_input_files("#file", {"name": "a.txt", "mimeType": "text/plain", "buffer": b"a" * 70_000})
        page.click("#send")
        fault = page.locator("#fault")
        fault.wait_for(state="visible")
        assert "请拆分" in fault.inner_text() and "上限为 60 KB" in fault.inner_text()
        page.click("#language")
        assert "Split it" in fault.inner_text() and "the limit is 60 KB" in fault.inner_text()

    def test_a_file_that_cannot_be_read_gets_the_services_own_words(self, page: Page) -> None:
        page.set_input_files("#file", {"name": "a.zip", "mimeType": "application/zip", "buffer": b"PK\x03\x04zip"})
        page.click("#send")
        page.wait_for_selector("#fault:visible")
        said = page.request.post(
            f"{page.url}read_document",
            multipart={"file": {"name": "a.zip", "mimeType": "application/zip", "buffer": b"PK\x03\x04zip"}},
        ).json()
        assert said["detail_zh"] in page.inner_text("#fault")

    def test_a_busy_service_is_asked_again_when_it_says_so(self, page: Page) -> None:
        asked: list[str] = []

        def busy_once(route: Any) -> None:
            asked.append(route.request.url)
            if len(asked) > 1:
                return route.continue_()
            body = json.dumps({"code": "busy", "detail": "full", "detail_zh": "满"})
            route.fulfill(status=429, headers={"Retry-After": "1"}, body=body, content_type="application/problem+json")

        page.route("**/classify_document", busy_once)
        read(page, TEXT)
        assert len(asked) == 2 and len(texts(page)) == 3

    @pytest.mark.parametrize(
        "answer",
        [
            lambda route: route.abort(),
            lambda route: route.fulfill(status=200, body='{"model": {"na'),
            lambda route: route.fulfill(status=200, body="<html>登录</html>"),
        ],
        ids=["gone", "cut off", "of a proxy"],
    )
    def test_an_answer_that_does_not_come_is_said_and_can_be_tried_again(self, page: Page, answer: Any) -> None:
        page.wait_for_selector("#model:not(:empty)")
        page.route("**/classify_document", answer)
        put(page, TEXT)
        page.click("#send")
        page.wait_for_selector("text=连不上服务")
        page.unroute("**/classify_document")
        page.click("#resume")
        wait_until_read(page)
        assert len(texts(page)) == 3 and page.locator("#fault").is_hidden()

    def test_words_that_do_not_arrive_are_said_to_be_missing(self, page: Page) -> None:
        read(page, TEXT)
        page.route("**/explain", lambda route: route.fulfill(status=200, body='{"spans": ['))
        page.locator(".paragraph .chip").first.click()
        page.wait_for_selector(".note .fault:has-text('连不上服务')")

    def test_a_late_failure_does_not_take_the_place_of_what_is_asked_for_now(self, page: Page) -> None:
        read(page, TEXT)
        number = next(number for number in (1, 2, 3) if len(chips(page, number)) > 1)
        row = page.locator(f".paragraph:nth-child({number})")
        held: list[Any] = []
        page.route("**/explain", lambda route: route.continue_() if held else held.append(route))
        row.locator(".chip").nth(0).click()
        row.locator(".chip").nth(1).click()
        row.locator(".note p:not(.hint)").wait_for()
        said = row.locator(".note").inner_text()
        with page.expect_response("**/explain"):
            held[0].fulfill(status=504, body=json.dumps({"code": "timeout", "detail": "late", "detail_zh": "晚"}))
        page.wait_for_timeout(100)
        assert row.locator(".note").inner_text() == said


@pytest.fixture
def guarded(browser: Any, classifier: Classifier, tmp_path: Path) -> Iterator[tuple[Page, str]]:
    """The page of a service that asks for a key, and one that it takes."""
    _, key = add_key(tmp_path / "keys.json", "analyst")
    settings = page_settings(tmp_path, serve__keys="required", serve__keys_file=tmp_path / "keys.json")
    with page_of(create_app(settings, lambda: classifier)) as url, opened(browser, url) as page:
        yield page, key


class TestKeys:
    def test_a_service_with_keys_asks_for_one_and_keeps_it_for_the_tab(self, guarded: tuple[Page, str]) -> None:
        page, key = guarded
        page.fill("#key-field", "wrong")
        page.keyboard.press("Enter")
        page.wait_for_selector("text=密钥无效")
        page.fill("#key-field", key)
        page.keyboard.press("Enter")
        page.wait_for_selector("#key", state="hidden")
        read(page, TEXT)
        assert len(texts(page)) == 3
        page.reload()
        page.wait_for_selector("#model:not(:empty)")
        assert page.locator("#key").is_hidden()
        assert page.evaluate("Object.values(localStorage).join()").find(key) == -1

    def test_what_cannot_be_a_key_is_refused_before_it_is_sent(self, guarded: tuple[Page, str]) -> None:
        page, key = guarded
        page.fill("#key-field", f"{key}（张三）")
        page.keyboard.press("Enter")
        page.wait_for_selector("#key-fault:has-text('密钥只含')")
        page.fill("#key-field", f" {key} ")
        page.keyboard.press("Enter")
        page.wait_for_selector("#model:not(:empty)")
        assert page.locator("#key").is_hidden()

    def test_a_kept_key_that_cannot_be_sent_is_asked_for_anew(self, guarded: tuple[Page, str]) -> None:
        page, key = guarded
        page.evaluate("key => sessionStorage.setItem('policy-topics-key', key)", f"{key}（张三）")
        page.reload()
        page.fill("#key-field", key)
        page.keyboard.press("Enter")
        page.wait_for_selector("#model:not(:empty)")
        assert page.locator("#fault").is_hidden()
