"""What the tests of the page share: a service to look at, a browser to look with, and what to do there."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette

from configs.settings import Settings, load_settings
from tests.listening import listening

sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install 'policy-topics[browser]'")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(not CHROMIUM, reason="needs Chromium on the PATH: apt-get install chromium")

Page = Any
"""Playwright's; the type checker has it only where the extra `browser` is installed."""

PATIENCE = 60_000
"""Milliseconds until something is taken not to happen: a machine that does much else is slow."""


def page_settings(folder: Path, **flags: object) -> Settings:
    """Settings of a service with corrections in a folder of its own."""
    usual = {"feedback.url": f"sqlite:///{folder / 'feedback.db'}", "serve.keys": "off"}
    return load_settings(None, usual | {name.replace("__", "."): value for name, value in flags.items()})


@contextmanager
def page_of(app: Starlette) -> Iterator[str]:
    """The address of the page of an app whose model is ready."""
    with listening(app) as address:
        while not app.state.model.ready:
            time.sleep(0.02)
        yield f"{address}/"


@contextmanager
def chromium() -> Iterator[Any]:
    """The browser. While it runs, `asyncio.run` does not work in this thread."""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def opened(browser: Any, url: str, **context: Any) -> Iterator[Page]:
    """The page, ready. At the end it must have asked no other host, and have broken neither a script nor its policy."""
    faults: list[str] = []
    tab = browser.new_context(locale="zh-CN", viewport={"width": 1280, "height": 900}, **context)
    page = tab.new_page()
    page.set_default_timeout(PATIENCE)
    page.on("pageerror", lambda fault: faults.append(str(fault)))
    page.on("console", lambda said: faults.append(said.text) if _is_fault(said.text) else None)
    page.on(
        "request", lambda asked: faults.append(asked.url) if not asked.url.startswith((url, "blob:", "data:")) else None
    )
    page.goto(url)
    yield page
    tab.close()
    assert not faults


def _is_fault(said: str) -> bool:
    return "Content Security Policy" in said or said.startswith("Error")


def read(page: Page, text: str) -> None:
    """Put a text in, and wait until all its paragraphs are there."""
    put(page, text)
    page.click("#send")
    wait_until_read(page)


def put(page: Page, text: str) -> None:
    """Put a text in, without the minute that Playwright takes to type in a long one."""
    page.locator("#text").evaluate("(area, text) => { area.value = text; }", text)


def wait_until_read(page: Page) -> None:
    page.wait_for_selector("#results", state="visible")
    page.wait_for_selector("#running", state="hidden")


def texts(page: Page) -> list[str]:
    found: list[str] = page.locator(".paragraph:visible .text").all_text_contents()
    return found


def chips(page: Page, number: int) -> list[str]:
    """Ids of the topics that a paragraph, counted from 1, carries on the page."""
    ids: list[str] = page.locator(f".paragraph:nth-child({number}) .chips .chip").evaluate_all(
        "chips => chips.map(chip => chip.dataset.topic)"
    )
    return ids
