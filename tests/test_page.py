"""The page in a browser: reading a text, seeing its topics, why, how much of each, and taking them along."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docx import Document as Docx

from configs.taxonomy import load_taxonomy
from tests.browser import (
    Page,
    chips,
    needs_chromium,
    opened,
    read,
    texts,
    wait_until_read,
)
from tests.service import DIGITAL, FARMING, SAFETY, TEXT
from tests.test_documents import ARTICLE, docx_file, pdf_file, web_page

pytestmark = needs_chromium

TOPICS = load_taxonomy()


@pytest.fixture
def page(browser: Any, small_page: str) -> Iterator[Page]:
    with opened(browser, small_page, permissions=["clipboard-read", "clipboard-write"]) as page:
        yield page


def answered(page: Page, text: str = TEXT) -> dict[str, Any]:
    """What the service says of a text."""
    answer = page.request.post(f"{page.url}classify_document", data={"text": text})
    body: dict[str, Any] = answer.json()
    return body


class TestReading:
    def test_a_pasted_text_is_shown_by_paragraph_with_its_topics(self, page: Page) -> None:
        read(page, TEXT)
        results = answered(page)["results"]
        assert texts(page) == [result["text"] for result in results] == [FARMING, DIGITAL, SAFETY]
        for number, result in enumerate(results, 1):
            assert chips(page, number) == [topic["id"] for topic in result["topics"]]

    def test_a_chosen_file_is_read_by_the_service(self, page: Page) -> None:
        def write(document: Any) -> None:
            for text in (FARMING, SAFETY):
                document.add_paragraph(text)

        file = {"name": "纪要.docx", "mimeType": "application/octet-stream", "buffer": docx_file(write)}
        page.set_input_files("#file", file)
        assert "纪要.docx" in page.inner_text("#chosen")
        page.click("#send")
        wait_until_read(page)
        assert page.inner_text("#document-name") == "纪要.docx"
        assert texts(page) == [FARMING, SAFETY]

    def test_what_was_not_read_of_a_file_is_told_until_another_text_comes(self, page: Page) -> None:
        data = pdf_file([[FARMING], []])
        page.set_input_files("#file", {"name": "纪要.pdf", "mimeType": "application/pdf", "buffer": data})
        page.click("#send")
        wait_until_read(page)
        assert "no text on page(s) 2" in page.inner_text("#remarks")
        page.click("#another")
        assert page.locator("#remarks").is_hidden()

    def test_the_lines_around_the_article_of_a_web_page_are_counted(self, page: Page) -> None:
        file = {"name": "news.html", "mimeType": "text/html", "buffer": web_page(ARTICLE)}
        page.set_input_files("#file", file)
        page.click("#send")
        wait_until_read(page)
        page.wait_for_selector("text=略去 4 行网页杂项")

    def test_a_dropped_file_is_taken(self, page: Page) -> None:
        page.evaluate(
            """text => {
              const data = new DataTransfer();
              data.items.add(new File([text], "dropped.txt"));
              const drop = new DragEvent("drop", { dataTransfer: data, bubbles: true });
              document.getElementById("text").dispatchEvent(drop);
            }""",
            DIGITAL,
        )
        page.click("#send")
        wait_until_read(page)
        assert texts(page) == [DIGITAL]

    def test_nothing_to_read_is_said(self, page: Page) -> None:
        page.click("#send")
        assert page.inner_text("#status") == "请先粘贴文本或选择文件。"

    def test_a_text_without_words_is_said_to_have_none(self, page: Page) -> None:
        page.fill("#text", "……")
        page.click("#send")
        page.wait_for_selector("text=没有可标注的文字")

    def test_another_text_takes_the_place_of_the_first(self, page: Page) -> None:
        read(page, FARMING)
        page.click("#another")
        read(page, SAFETY)
        assert texts(page) == [SAFETY]

    def test_a_filter_goes_with_its_document(self, page: Page) -> None:
        read(page, TEXT)
        page.locator("#chart .bar-row").first.click()
        assert page.locator("#filter").is_visible()
        page.click("#another")
        read(page, SAFETY)
        assert page.locator("#filter").is_hidden() and texts(page) == [SAFETY]
        assert page.locator(".bar-row[aria-pressed=true]").count() == 0


class TestTopics:
    def test_the_probability_is_shown_on_hover_and_on_focus(self, page: Page) -> None:
        read(page, TEXT)
        chip = page.locator(".paragraph .chip").first
        said = f"概率 {round(answered(page)['results'][0]['topics'][0]['probability'] * 100)} %"
        chip.hover()
        assert page.locator("#tip").inner_text() == said
        page.mouse.move(0, 0)
        page.wait_for_selector("#tip", state="hidden")
        chip.focus()
        assert page.locator("#tip").inner_text() == said
        page.keyboard.press("Escape")
        assert page.locator("#tip").is_hidden()

    def test_a_weak_topic_is_marked_by_a_word_and_a_dashed_line(self, page: Page) -> None:
        read(page, TEXT)
        for number, result in enumerate(answered(page)["results"], 1):
            for place, topic in enumerate(result["topics"]):
                chip = page.locator(f".paragraph:nth-child({number}) .chip").nth(place)
                weak = topic["probability"] < 0.6
                assert ("弱" in chip.inner_text()) is weak
                assert chip.evaluate("chip => getComputedStyle(chip).borderStyle") == ("dashed" if weak else "solid")

    def test_the_words_that_count_are_marked_on_demand(self, page: Page) -> None:
        read(page, TEXT)
        chip, note = page.locator(".paragraph .chip").first, page.locator(".paragraph .note").first
        asked = {"text": FARMING, "topic": chips(page, 1)[0]}
        spans = page.request.post(f"{page.url}explain", data=asked).json()["spans"]
        heaviest = max(spans, key=lambda span: float(span["weight"]))
        chip.click()
        page.wait_for_selector(".paragraph mark")
        assert FARMING[heaviest["start"] : heaviest["end"]] in page.locator("mark").all_text_contents()
        assert "遮挡法（occlusion）" in note.inner_text() and f"{heaviest['weight']:.1f}" in note.inner_text()
        assert chip.get_attribute("aria-pressed") == "true" and texts(page)[0] == FARMING
        chip.click()
        assert page.locator("mark").count() == 0 and note.is_hidden()

    def test_the_mix_is_a_chart_and_a_table_of_the_shares_by_length(self, page: Page) -> None:
        read(page, TEXT)
        shares = {topic["name"]: topic["share"] for topic in answered(page)["document_topics"]}
        rows = page.locator("#mix-table tbody tr").evaluate_all(
            "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
        )
        assert [name for name, *_ in rows if name != "无主题"] == list(shares)
        assert all(
            abs(float(share.strip("> %")) / 100 - shares[name]) < 0.01 for name, share, _ in rows if name in shares
        )
        widths = page.locator("#chart .bar-share").evaluate_all("bars => bars.map(bar => bar.width.baseVal.value)")
        assert len(widths) == len(rows) and widths == sorted(widths, reverse=True)

    def test_a_topic_of_the_mix_filters_by_click_and_by_keyboard(self, page: Page) -> None:
        read(page, TEXT)
        carried = [{topic["id"] for topic in result["topics"]} for result in answered(page)["results"]]
        some = next(topic for topic in set.union(*carried) if sum(topic in own for own in carried) < len(carried))
        row, own = page.locator(f'.bar-row[data-topic="{some}"]'), [some in topics for topics in carried]
        wanted = [text for text, has in zip((FARMING, DIGITAL, SAFETY), own, strict=True) if has]
        row.click()
        assert texts(page) == wanted and f"{sum(own)} / 3" in page.inner_text("#filter-text")
        page.click("#filter-clear")
        assert len(texts(page)) == 3
        row.focus()
        page.keyboard.press("Enter")
        assert texts(page) == wanted and row.get_attribute("aria-pressed") == "true"
        page.keyboard.press(" ")
        assert len(texts(page)) == 3


class TestLanguage:
    def test_the_switch_turns_everything_english_and_is_remembered(self, page: Page) -> None:
        read(page, TEXT)
        page.click("#language")
        for _ in range(2):
            assert page.get_attribute("html", "lang") == "en" and page.title() == "Policy topics"
            assert page.locator(".paragraph .chip-name").first.inner_text() == TOPICS[chips(page, 1)[0]].en
            chinese = page.locator(":not([lang^=zh]):not(script):not(style)").evaluate_all(
                """elements => elements.flatMap(element => [...element.childNodes]
                  .filter(node => node.nodeType === Node.TEXT_NODE && /[\\u4e00-\\u9fff]/.test(node.data)
                    && !element.closest("[lang^=zh], noscript")).map(node => node.data))"""
            )
            assert chinese == []
            page.reload()
            read(page, TEXT)


class TestTakingAlong:
    def download(self, page: Page, form: str) -> bytes:
        with page.expect_download() as started:
            page.click(f"[data-format={form}]")
        assert started.value.suggested_filename == f"粘贴的文本.{form}"
        return Path(started.value.path()).read_bytes()

    def test_as_json_it_is_what_the_service_said(self, page: Page) -> None:
        read(page, TEXT)
        taken, said = json.loads(self.download(page, "json")), answered(page)
        assert taken["model"] == said["model"] and taken["document_topics"] == said["document_topics"]
        for own, other in zip(taken["results"], said["results"], strict=True):
            assert own.items() <= other.items()
            assert set(own) == {"index", "start", "end", "text", "topics", "primary"}

    def test_as_csv_it_opens_as_a_sheet_that_runs_no_formula(self, page: Page) -> None:
        formula = '=HYPERLINK("x","推进高标准农田建设，抓好粮食生产")'
        read(page, f"{FARMING}\n{formula}\n")
        data = self.download(page, "csv")
        assert data.startswith(b"\xef\xbb\xbf")
        rows = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))
        assert rows[0]["text"] == FARMING and rows[1]["text"].startswith("'=HYPERLINK")
        assert rows[0]["topic_ids"].split("; ") == chips(page, 1)

    def test_as_docx_it_opens_as_a_document(self, page: Page) -> None:
        read(page, TEXT + "带有 <标记> & \x0b 符号的段落，抓好粮食生产。")
        document = Docx(io.BytesIO(self.download(page, "docx")))
        lines = [paragraph.text for paragraph in document.paragraphs]
        assert lines[0] == "粘贴的文本"
        for text in texts(page):
            assert text in lines
        assert any(line.startswith("【") and TOPICS[chips(page, 1)[0]].zh in line for line in lines)
        assert [cell.text for cell in document.tables[0].rows[0].cells] == ["主题", "占比", "段数"]
        assert {paragraph.style.name for paragraph in document.paragraphs if paragraph.style} >= {"Title", "Heading 1"}

    def test_copied_it_is_a_table(self, page: Page) -> None:
        read(page, TEXT)
        page.click("#copy")
        page.wait_for_selector("text=已复制为表格")
        lines = page.evaluate("navigator.clipboard.readText()").splitlines()
        assert len(lines) == 4 and lines[1].split("\t")[3] == FARMING

    def test_copied_it_runs_no_formula_and_keeps_its_quotes(self, page: Page) -> None:
        read(page, f'"抓好粮食生产"要落到实处。\n{FARMING}\n=HYPERLINK("x","推进高标准农田建设")\n')
        quoting, plain, formula = texts(page)
        page.click("#copy")
        page.wait_for_selector("text=已复制为表格")
        copied = page.evaluate("navigator.clipboard.readText()")
        rows = list(csv.DictReader(io.StringIO(copied), delimiter="\t"))
        assert formula.startswith("=") and '"' in quoting
        assert [row["text"] for row in rows] == [quoting, plain, f"'{formula}"]
