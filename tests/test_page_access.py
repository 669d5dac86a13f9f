"""The page for everybody: no fault that axe-core finds, by keyboard alone, on a phone, in the dark."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from policy_topics.classifier import Classifier
from serve.app import create_app
from serve.page_files import FOLDER
from tests.browser import Page, chips, needs_chromium, opened, page_of, page_settings, read, texts
from tests.service import FARMING, TEXT

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def url(classifier: Classifier, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("page")
    row = {"id": "1", "text": FARMING, "document": "周报", "topics": [{"id": "energy", "probability": 0.5}],
           "reason": "接近阈值 · near the threshold", "model": "1"}  # fmt: skip
    (folder / "queue.jsonl").write_text(json.dumps(row) + "\n", "utf-8")
    settings = page_settings(folder, feedback__queue=folder / "queue.jsonl")
    with page_of(create_app(settings, lambda: classifier)) as address:
        yield address


def faults(page: Page) -> list[str]:
    """What axe-core finds that is serious or critical, each with the elements at fault."""
    axe = pytest.importorskip("axe_playwright_python", reason="needs axe-core: pip install 'policy-topics[browser]'")
    page.evaluate((Path(axe.__file__).parent / "axe.min.js").read_text("utf-8"))
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{each['impact']} {each['id']}: {[node['html'][:150] for node in each['nodes']]}"
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("width", [1280, 360])
def test_axe_finds_no_serious_fault(browser: Any, url: str, scheme: str, language: str, width: int) -> None:
    with opened(browser, url, color_scheme=scheme) as page:
        page.set_viewport_size({"width": width, "height": 900})
        if language == "en":
            page.click("#language")
        page.wait_for_selector("#tabs", state="visible")
        assert faults(page) == []

        read(page, TEXT)
        assert faults(page) == []

        page.locator(".paragraph .chip").first.click()
        page.wait_for_selector(".note .words, .note p:not(.hint)")
        page.locator("#chart .bar-row").first.click()
        page.locator(".paragraph:visible .correct").first.click()
        page.locator(".editor .remove").first.click()
        page.locator(".editor [role=combobox]").click()
        assert faults(page) == []

        page.click("#tab-queue")
        page.wait_for_selector("#queue .editor")
        assert faults(page) == []


def test_a_fault_and_the_key_field_have_none_either(browser: Any, url: str) -> None:
    with opened(browser, url) as page:
        refused = {"code": "unauthorized", "detail": "key", "detail_zh": "密钥"}
        page.route("**/classify_document", lambda route: route.fulfill(status=401, body=json.dumps(refused)))
        page.fill("#text", TEXT)
        page.click("#send")
        page.wait_for_selector("#key:visible")
        assert faults(page) == []
        page.click("#cancel")
        page.route("**/classify_document", lambda route: route.abort())
        page.click("#resume")
        page.wait_for_selector("#fault:visible")
        assert faults(page) == []


def test_everything_is_reached_and_done_by_keyboard(browser: Any, url: str) -> None:
    with opened(browser, url) as page:
        page.wait_for_selector("#tabs", state="visible")
        page.focus("#text")
        page.keyboard.insert_text(TEXT)
        page.keyboard.press("Control+Enter")
        page.wait_for_selector(".paragraph:nth-child(3)")
        reached: list[str] = []
        for _ in range(60):
            page.keyboard.press("Tab")
            reached.append(page.evaluate("document.activeElement.getAttribute('class') || document.activeElement.id"))
            if reached[-1].startswith("chip"):
                break
        assert {"another", "bar-row", "copy"} <= set(reached)
        page.keyboard.press("Enter")
        page.wait_for_selector(".note:visible")
        while not page.evaluate("document.activeElement.className").endswith("correct"):
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        before = chips(page, 1)
        while page.evaluate("document.activeElement.className") != "remove":
            page.keyboard.press("Shift+Tab")
        page.keyboard.press("Enter")
        assert len(chips(page, 1)) == len(before) - 1


class TestCorrectingByKeyboard:
    FOCUSED = "document.activeElement"

    @pytest.fixture
    def page(self, browser: Any, url: str) -> Iterator[Page]:
        """With the first paragraph's editor open."""
        with opened(browser, url) as page:
            read(page, TEXT)
            page.locator(".paragraph .correct").first.focus()
            page.keyboard.press("Enter")
            yield page

    def open_list(self, page: Page) -> bool:
        """Whether the list of topics is seen; a screen reader must be told the same."""
        seen: bool = page.locator("[role=listbox]").is_visible()
        assert page.locator("[role=combobox]").get_attribute("aria-expanded") == str(seen).lower()
        return seen

    def remove_all(self, page: Page) -> None:
        while page.locator(".editor .remove").count():
            page.locator(".editor .remove").first.press("Enter")

    def test_escape_closes_the_list_first_and_then_the_editor(self, page: Page) -> None:
        self.remove_all(page)
        page.keyboard.press("ArrowDown")
        assert self.open_list(page)
        page.keyboard.press("Escape")
        assert page.locator(".editor").count() == 1 and not self.open_list(page)
        page.keyboard.press("Escape")
        assert page.locator(".editor").count() == 0

    def test_without_topics_the_field_is_next_and_no_list_lies_over_the_button(self, page: Page) -> None:
        self.remove_all(page)
        assert page.evaluate(f"{self.FOCUSED}.role") == "combobox" and not self.open_list(page)

    def test_a_topic_made_the_main_one_keeps_the_focus(self, page: Page) -> None:
        self.remove_all(page)
        for topic in ("energy", "health"):
            page.locator("[role=combobox]").fill(topic)
            page.keyboard.press("Enter")
        page.locator(".promote").press("Enter")
        assert page.evaluate(f"{self.FOCUSED}.dataset.topic") == "health"

    def test_where_the_filter_hides_what_was_corrected_the_next_paragraph_has_the_focus(self, page: Page) -> None:
        page.locator(f'.bar-row[data-topic="{chips(page, 1)[0]}"]').press("Enter")
        self.remove_all(page)
        page.keyboard.press("Escape")
        assert FARMING not in texts(page)
        left = page.locator(".paragraph:visible .correct")
        wanted = left.first if left.count() else page.locator("#filter-clear")
        assert wanted.evaluate(f"element => element === {self.FOCUSED}")


def test_each_chip_tells_its_topic_and_probability_to_a_screen_reader(browser: Any, url: str) -> None:
    with opened(browser, url) as page:
        read(page, TEXT)
        for chip in page.locator(".paragraph .chip").all():
            assert re.search(r"\S+\s*(弱)?\s*, 概率 (> )?[\d.]+ %", chip.text_content())


@pytest.mark.parametrize("language", ["zh", "en"])
def test_on_a_phone_nothing_is_wider_than_the_screen(browser: Any, url: str, language: str) -> None:
    with opened(browser, url) as page:
        page.set_viewport_size({"width": 360, "height": 740})
        if language == "en":
            page.click("#language")
        read(page, TEXT)
        page.locator(".paragraph .chip").first.click()
        page.locator(".paragraph:nth-child(2) .correct").click()
        page.locator(".editor .remove").first.click()
        page.locator(".editor [role=combobox]").click()
        assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_the_colours_of_the_topics_are_33_and_differ_to_the_eye() -> None:
    block = re.search(r"COLOURS = \[(.*?)\]", (FOLDER / "topics.js").read_text("utf-8"), re.DOTALL)
    assert block
    colours = [tuple(map(int, colour.split())) for colour in re.findall(r'"([\d ]+)"', block[1])]
    assert len(colours) == 33
    assert min(difference(one, other) for one, other in combinations(colours, 2)) > 0.07
    for colour in colours:  # as parts of a graphic: WCAG 2.2, 1.4.11
        assert contrast(colour, (255, 255, 255)) >= 3 and contrast(colour, (26, 32, 40)) >= 2.7


def linear(colour: tuple[int, ...]) -> list[float]:
    return [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (part / 255 for part in colour)]


def contrast(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """WCAG's contrast ratio."""
    weights = (0.2126, 0.7152, 0.0722)
    low, high = sorted(sum(w * c for w, c in zip(weights, linear(each), strict=True)) for each in (one, other))
    return (high + 0.05) / (low + 0.05)


def difference(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """Distance in OKLab (Ottosson 2020); about 0.02 is just seen."""

    def oklab(colour: tuple[int, ...]) -> list[float]:
        r, g, b = linear(colour)
        long = (0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b) ** (1 / 3)
        middle = (0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b) ** (1 / 3)
        short = (0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b) ** (1 / 3)
        return [
            0.2104542553 * long + 0.7936177850 * middle - 0.0040720468 * short,
            1.9779984951 * long - 2.4285922050 * middle + 0.4505937099 * short,
            0.0259040371 * long + 0.7827717662 * middle - 0.8086757660 * short,
        ]

    return sum((a - b) ** 2 for a, b in zip(oklab(one), oklab(other), strict=True)) ** 0.5
