"""The page in a browser: correcting topics, storing corrections, and the queue of paragraphs to label."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from configs.taxonomy import load_taxonomy
from policy_topics.classifier import Classifier
from policy_topics.feedback.corrections import Correction
from policy_topics.feedback.store import Store
from serve.app import create_app
from tests.browser import Page, chips, needs_chromium, opened, page_of, page_settings, read, texts
from tests.service import DIGITAL, FARMING, SAFETY

pytestmark = needs_chromium

TOPICS = load_taxonomy()


@pytest.fixture
def queue(tmp_path: Path) -> Path:
    file = tmp_path / "queue.jsonl"
    rows = [
        {"id": str(place), "text": text, "document": "周报", "topics": [{"id": "energy", "probability": 0.55}],
         "reason": "接近阈值 · near the threshold", "model": "1"}
        for place, text in enumerate((FARMING, DIGITAL, SAFETY))
    ]  # fmt: skip
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return file


@pytest.fixture
def page(browser: Any, classifier: Classifier, tmp_path: Path, queue: Path) -> Iterator[Page]:
    settings = page_settings(tmp_path, feedback__queue=queue)
    with page_of(create_app(settings, lambda: classifier)) as url, opened(browser, url) as page:
        yield page


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(f"sqlite:///{tmp_path / 'feedback.db'}")


def correct(page: Page, number: int = 1) -> Any:
    """Open the editor of a paragraph."""
    page.locator(f".paragraph:nth-child({number}) .correct").click()
    return page.locator(f".paragraph:nth-child({number}) .editor")


def edited(editor: Any) -> list[str]:
    ids: list[str] = editor.locator(".edited .chip").evaluate_all("chips => chips.map(chip => chip.dataset.topic)")
    return ids


def clear(editor: Any) -> None:
    while editor.locator(".remove").count():
        editor.locator(".remove").first.click()


def agree(editor: Any) -> None:
    editor.locator("input[type=checkbox]").check()


def saved(page: Page, editor: Any) -> None:
    editor.locator("button.primary").click()
    page.wait_for_selector(".editor .state:has-text('已保存')")


class TestCorrecting:
    def test_a_topic_is_removed_and_another_added_from_the_list(self, page: Page) -> None:
        read(page, FARMING)
        editor = correct(page)
        first, *rest = chips(page, 1)
        editor.locator(".remove").first.click()
        assert edited(editor) == rest == chips(page, 1)
        other = next(topic for topic in TOPICS.topics if topic.id not in (first, *rest))
        editor.locator("[role=combobox]").fill(other.zh)
        assert editor.locator("[role=option]").all_inner_texts() == [other.zh]
        page.keyboard.press("Enter")
        assert edited(editor) == [*rest, other.id] == chips(page, 1)
        assert "已更正" in page.inner_text(".paragraph .chips")
        editor.locator("text=恢复原主题").click()
        assert chips(page, 1) == [first, *rest]

    def test_the_list_is_searched_in_either_language_and_used_by_keyboard(self, page: Page) -> None:
        read(page, FARMING)
        editor = correct(page)
        clear(editor)
        field = editor.locator("[role=combobox]")
        field.fill("HEALTH")
        assert [TOPICS["health"].zh] == editor.locator("[role=option]").all_inner_texts()
        field.fill("")
        assert editor.locator("[role=option]").count() == len(TOPICS.topics)
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowDown")
        active = field.get_attribute("aria-activedescendant")
        assert page.locator(f"#{active}").get_attribute("aria-selected") == "true"
        page.keyboard.press("Enter")
        assert edited(editor) == [TOPICS.topics[1].id]
        page.keyboard.press("Escape")
        assert page.locator(".editor").count() == 0
        assert page.evaluate("document.activeElement.className").endswith("correct")

    def test_there_are_at_most_four_and_one_can_be_made_the_main_one(self, page: Page) -> None:
        read(page, FARMING)
        editor = correct(page)
        clear(editor)
        for topic in ("energy", "health", "finance", "digital"):
            editor.locator("[role=combobox]").fill(topic)
            page.keyboard.press("Enter")
        assert edited(editor) == ["energy", "health", "finance", "digital"]
        assert editor.locator("[role=combobox]").is_disabled() and "已有 4 个主题" in editor.inner_text()
        assert page.evaluate("document.activeElement.ariaLabel") == f"去掉“{TOPICS['digital'].zh}”"
        editor.locator("[aria-label='将“金融”设为主要主题']").click()
        assert edited(editor) == ["finance", "energy", "health", "digital"] == chips(page, 1)

    def test_the_mix_and_what_is_taken_along_follow_a_correction(self, page: Page) -> None:
        read(page, f"{FARMING}\n{DIGITAL}")
        editor = correct(page)
        clear(editor)
        assert "无主题" in page.inner_text("#mix-table")
        with page.expect_download() as started:
            page.click("[data-format=json]")
        first = json.loads(Path(started.value.path()).read_text("utf-8"))["results"][0]
        assert first["topics"] == [] and first["primary"] is None and first["model_topics"]


class TestStoring:
    def test_nothing_is_stored_without_consent(self, page: Page, store: Store) -> None:
        read(page, FARMING)
        editor = correct(page)
        editor.locator(".remove").first.click()
        assert editor.locator("button.primary").is_disabled()
        assert (
            "原文" in editor.locator(".consent").inner_text() and "127.0.0.1" in editor.locator(".consent").inner_text()
        )
        editor.locator("[role=combobox]").press("Enter")
        page.wait_for_timeout(200)
        agree(editor)
        assert not editor.locator("button.primary").is_disabled()
        editor.locator("input[type=checkbox]").uncheck()
        assert editor.locator("button.primary").is_disabled()
        with pytest.raises(Exception, match="nothing has been corrected"):
            store.read()

    def test_consent_is_shown_and_taken_back_in_every_editor(self, page: Page) -> None:
        read(page, f"{FARMING}\n{DIGITAL}")
        first, second = correct(page), correct(page, 2)
        box, save = second.locator("input[type=checkbox]"), second.locator("button.primary")
        agree(first)
        assert box.is_checked() and save.is_enabled()
        box.uncheck()
        assert not first.locator("input[type=checkbox]").is_checked()
        assert first.locator("button.primary").is_disabled() and save.is_disabled()

    def test_without_consent_a_failure_is_not_tried_again(self, page: Page) -> None:
        page.route("**/feedback", lambda route: route.abort())
        read(page, FARMING)
        editor = correct(page)
        agree(editor)
        editor.locator("button.primary").click()
        page.wait_for_selector(".editor .state.fault:has-text('未能保存')")
        editor.locator("input[type=checkbox]").uncheck()
        assert editor.locator("text=重试").is_disabled()

    def test_an_editor_opened_anew_hears_of_what_was_sent_before(self, page: Page) -> None:
        held: list[Any] = []
        page.route("**/feedback", lambda route: held.append(route))
        read(page, FARMING)
        editor = correct(page)
        agree(editor)
        editor.locator("button.primary").click()
        page.wait_for_selector(".editor .state:has-text('正在保存')")
        correct(page)  # closes it
        correct(page)
        assert "正在保存" in editor.locator(".state").inner_text()
        held[0].abort()
        page.unroute("**/feedback")
        page.wait_for_selector(".editor .state.fault:has-text('未能保存')")
        assert editor.locator("button.primary").is_enabled()
        editor.locator("text=重试").click()
        page.wait_for_selector(".editor .state:has-text('已保存')")

    def test_a_saved_correction_is_in_the_store_as_it_was_made(self, page: Page, store: Store) -> None:
        read(page, FARMING)
        old = chips(page, 1)
        editor = correct(page)
        clear(editor)
        for topic in ("agriculture", "education"):
            editor.locator("[role=combobox]").fill(topic)
            page.keyboard.press("Enter")
        agree(editor)
        saved(page, editor)
        (kept,) = store.read()
        assert isinstance(kept, Correction)
        assert (kept.text, kept.new) == (FARMING, ("agriculture", "education"))
        assert [topic.id for topic in kept.old] == old and all(topic.probability for topic in kept.old)
        assert kept.version == page.request.get(f"{page.url}model").json()["version"]

    def test_a_second_correction_is_another_one(self, page: Page, store: Store) -> None:
        read(page, FARMING)
        editor = correct(page)
        agree(editor)
        saved(page, editor)
        assert editor.locator("button.primary").is_disabled()  # the same again would say nothing new
        editor.locator(".remove").first.click()
        saved(page, editor)
        first, second = store.read()
        assert first.id != second.id and first.new[1:] == second.new

    def test_a_failure_keeps_the_correction_and_tries_again_with_the_same_id(self, page: Page, store: Store) -> None:
        read(page, FARMING)
        sent: list[dict[str, Any]] = []
        lost = [True, True]

        def lose_answers(route: Any) -> None:
            """The service stores it, and its answer does not arrive; then it is not reached at all."""
            sent.append(json.loads(route.request.post_data))
            if len(sent) == 1:
                route.fetch()
            route.abort() if len(sent) <= len(lost) else route.continue_()

        page.route("**/feedback", lose_answers)
        editor = correct(page)
        editor.locator(".remove").first.click()
        now = edited(editor)
        agree(editor)
        editor.locator("button.primary").click()
        for _ in lost:
            page.wait_for_selector(".editor .state.fault:has-text('未能保存')")
            assert edited(editor) == now == chips(page, 1)
            editor.locator("text=重试").click()
        page.wait_for_selector(".editor .state:has-text('已保存')")
        assert len(sent) == 3 and sent[0] == sent[1] == sent[2]
        assert [kept.id for kept in store.read()] == [sent[0]["items"][0]["id"]]

    def test_where_corrections_are_not_taken_none_can_be_stored(
        self, browser: Any, classifier: Classifier, tmp_path: Path
    ) -> None:
        settings = page_settings(tmp_path, feedback__enabled=False)
        with page_of(create_app(settings, lambda: classifier)) as url, opened(browser, url) as page:
            page.wait_for_selector("#model:not(:empty)")
            read(page, FARMING)
            editor = correct(page)
            editor.locator(".remove").first.click()
            assert editor.locator("button.primary").count() == 0 and editor.locator(".consent").count() == 0
            assert page.locator("#tabs").is_hidden()


class TestQueue:
    def test_it_is_gone_through_one_by_one(self, page: Page, store: Store) -> None:
        page.click("#tab-queue")
        assert page.inner_text("#tab-queue") == "待标注 3"
        editor, text = page.locator("#queue .editor"), page.locator("#queue .text")
        assert text.inner_text() == FARMING and "near the threshold" in page.inner_text("#queue")
        assert edited(editor) == ["energy"]
        clear(editor)
        editor.locator("[role=combobox]").fill("agriculture")
        page.keyboard.press("Enter")
        agree(editor)
        editor.locator("button.primary").click()
        page.wait_for_selector(f"#queue .text:has-text('{DIGITAL}')")
        page.click("#queue button:has-text('跳过')")
        page.wait_for_selector(f"#queue .text:has-text('{SAFETY}')")
        editor.locator("button.primary").click()  # consent holds on, and is seen to
        page.wait_for_selector("text=全部看完了")
        assert [(kept.text, kept.new, kept.document) for kept in store.read()] == [
            (FARMING, ("agriculture",), "周报"), (SAFETY, ("energy",), "周报")
        ]  # fmt: skip
        assert page.inner_text("#tab-queue") == "待标注 1"
        page.click("text=再看跳过的")
        page.wait_for_selector(f"#queue .text:has-text('{DIGITAL}')")

    def test_skipped_while_it_is_stored_it_takes_no_other_with_it(self, page: Page) -> None:
        held: list[Any] = []
        page.route("**/feedback", lambda route: held.append(route))
        page.click("#tab-queue")
        editor = page.locator("#queue .editor")
        agree(editor)
        editor.locator("button.primary").click()
        page.wait_for_selector(".editor .state:has-text('正在保存')")
        page.click("#queue button:has-text('跳过')")
        page.wait_for_selector(f"#queue .text:has-text('{DIGITAL}')")
        held[0].continue_()
        page.wait_for_selector("#tab-queue:has-text('待标注 2')")
        assert page.locator("#queue .text").inner_text() == DIGITAL

    def test_the_tabs_are_changed_by_arrow_keys_and_keep_what_they_show(self, page: Page) -> None:
        read(page, FARMING)
        page.wait_for_selector("#tabs", state="visible")
        page.focus("#tab-read")
        page.keyboard.press("ArrowRight")
        page.wait_for_selector("#queue .editor")
        assert page.locator("#read").is_hidden()
        page.focus("#tab-queue")
        page.keyboard.press("ArrowLeft")
        assert texts(page) == [FARMING] and page.locator("#queue").is_hidden()
