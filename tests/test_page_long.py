"""The page and a document of 200 pages: it comes in parts, can be stopped and gone on with, and loses nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from policy_topics.classifier import Classifier
from policy_topics.segment import paragraphs
from serve.app import create_app
from tests.browser import Page, needs_chromium, opened, page_of, page_settings, put, read, texts

pytestmark = needs_chromium

PLACES = ("东河", "西岭", "南塘", "北坪", "中洲")
SENTENCES = (
    "{place}镇要抓好粮食生产，推进高标准农田建设，第{number}批项目年内完工，验收结果张榜公布。",
    "{place}镇加快建设数字政府，推动政务数据共享，第{number}号窗口的事项全部进入一体化平台。",
    "{place}镇深入排查化工企业和建筑工地的事故隐患，第{number}号隐患限期整改，逾期不改的停产。",
)


def long_text(count: int) -> str:
    """So many paragraphs of about 100 characters, with an emoji and a character beyond the BMP here and there."""
    lines = []
    for number in range(count):
        sentence = "".join(SENTENCES[(number + shift) % 3] for shift in range(1 + number % 3))
        lines.append(sentence.format(place=PLACES[number % 5], number=number) + ("𠮷😀。" if number % 40 == 0 else ""))
    return "\n".join(lines)


@pytest.fixture
def page(browser: Any, classifier: Classifier, tmp_path: Path) -> Iterator[Page]:
    app = create_app(page_settings(tmp_path), lambda: classifier)
    with page_of(app) as url, opened(browser, url) as page:
        yield page


def taken(page: Page) -> dict[str, Any]:
    with page.expect_download() as started:
        page.click("[data-format=json]")
    content: dict[str, Any] = json.loads(Path(started.value.path()).read_text("utf-8"))
    return content


def test_in_parts_a_document_has_the_paragraphs_and_offsets_that_it_has_whole(page: Page) -> None:
    text = long_text(1500)
    sent: list[int] = []
    page.on("request", lambda asked: sent.append(1) if asked.url.endswith("classify_document") else None)
    read(page, text)
    results = taken(page)["results"]
    whole = paragraphs(text).paragraphs
    assert [(each["index"], each["start"], each["end"], each["text"]) for each in results] == [
        (each.index, each.start, each.end, each.text) for each in whole
    ]
    assert len(sent) > 10
    assert len(texts(page)) == len(whole) == 1500


def test_sent_twice_before_the_service_answers_it_is_read_once_and_whole(page: Page) -> None:
    held: list[Any] = []
    page.route("**/topics", lambda route: held.append(route))
    page.reload()
    put(page, long_text(60))
    page.focus("#text")
    page.keyboard.press("Control+Enter")
    page.keyboard.press("Control+Enter")
    page.wait_for_timeout(100)
    for route in held:
        route.continue_()
    page.unroute("**/topics")
    page.wait_for_selector("text=标注完成", state="attached")
    assert texts(page) == [each.text for each in paragraphs(long_text(60)).paragraphs]


def test_left_for_another_while_it_comes_in_it_says_nothing_more(page: Page) -> None:
    """Left between two of the pauses in which a large part is put on the page."""
    page.evaluate(
        """() => new MutationObserver((_, observer) => {
          observer.disconnect();
          document.getElementById("another").click();
        }).observe(document.getElementById("paragraphs"), { childList: true })"""
    )
    put(page, "\n".join(["推进高标准农田建设，抓好粮食生产。"] * 100))
    page.click("#send")
    page.wait_for_selector("#input", state="visible")
    page.wait_for_selector("#send:enabled")
    assert page.text_content("#status") == "" and texts(page) == []


def test_wrapped_lines_are_not_torn_apart(page: Page) -> None:
    lines = "\n".join(long_text(120).replace("\n", "")[at : at + 38] for at in range(0, 9000, 38))
    read(page, lines)
    results = taken(page)["results"]
    assert [each["text"] for each in results] == [each.text for each in paragraphs(lines).paragraphs]


def test_paragraphs_are_there_while_the_rest_is_awaited_and_stay_when_it_is_cancelled(page: Page) -> None:
    held: list[Any] = []
    asked: list[Any] = []

    def hold_the_third(route: Any) -> None:
        asked.append(route)
        held.append(route) if len(asked) == 3 else route.continue_()

    page.route("**/classify_document", hold_the_third)
    put(page, long_text(200))
    page.click("#send")
    page.wait_for_selector(".paragraph:nth-child(51)")
    assert 0 < page.evaluate("document.getElementById('progress').value") < 1
    assert page.locator("#chart .bar-row").count() > 1
    before = len(texts(page))
    page.wait_for_timeout(300)
    page.click("#cancel")
    page.wait_for_selector("text=已取消")
    assert len(texts(page)) == before and page.locator("#running").is_hidden()

    page.click("#resume")
    page.wait_for_selector("text=标注完成", state="attached")
    assert texts(page) == [each.text for each in paragraphs(long_text(200)).paragraphs]


def test_a_screen_reader_hears_of_the_progress_a_few_times_only(page: Page) -> None:
    page.evaluate(
        """() => { window.heard = [];
          new MutationObserver(() => heard.push(document.getElementById("status").textContent))
            .observe(document.getElementById("status"), { childList: true, characterData: true, subtree: true }); }"""
    )
    read(page, long_text(600))
    heard = page.evaluate("heard.filter(Boolean)")
    assert heard[0].startswith("开始标注") and heard[-1] == "标注完成，共 600 段。"
    assert 3 <= len(heard) <= 7


def test_the_page_stays_alive_while_paragraphs_come_in(page: Page) -> None:
    """No script runs for long at a stretch: the longest is a small part of the whole."""
    page.evaluate(
        """() => { window.longest = 0; window.whole = 0; let last = performance.now(); const began = last;
          const beat = () => { const now = performance.now(); longest = Math.max(longest, now - last); last = now;
            whole = now - began; setTimeout(beat, 0); }; beat(); }"""
    )
    read(page, long_text(1500))
    assert page.evaluate("longest") < page.evaluate("whole") / 4
