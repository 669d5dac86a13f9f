"""README, docs/ and the notebooks: what they link to is there, and what is generated is up to date."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import nbformat
import pytest

from configs.settings import HOME
from configs.taxonomy import load_taxonomy
from configs.taxonomy_page import CAP_TOPICS, load_english, page

PAGES = [HOME / "README.md", HOME / "data" / "README.md", *sorted((HOME / "docs").glob("*.md"))]
NOTEBOOKS = sorted((HOME / "notebooks").glob("*.ipynb"))


def text_of(file: Path) -> str:
    if file.suffix != ".ipynb":
        return re.sub(r"```.*?```", "", file.read_text("utf-8"), flags=re.DOTALL)
    cells = nbformat.read(file, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def anchors(file: Path) -> set[str]:
    """Of the headings, as a forge makes them."""
    headings = re.findall(r"^#+ (.+)$", text_of(file), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links() -> list[tuple[str, str]]:
    found = []
    for file in [*PAGES, *NOTEBOOKS]:
        targets = re.findall(r"\]\(([^)\s]+)\)", text_of(file))
        here = [target for target in targets if not re.match(r"[a-z]+:", target)]
        found += [(str(file.relative_to(HOME)), target) for target in dict.fromkeys(here)]
    return found


@pytest.mark.parametrize(("file", "target"), links())
def test_what_is_linked_to_is_there(file: str, target: str) -> None:
    path, _, anchor = target.partition("#")
    there = (HOME / file).parent / path if path else HOME / file
    assert there.exists()
    if anchor and there.suffix == ".md":
        assert anchor in anchors(there)


def test_the_readme_leads_to_every_page_of_the_docs() -> None:
    readme = (HOME / "README.md").read_text("utf-8")
    assert [file.name for file in (HOME / "docs").glob("*.md") if f"(docs/{file.name})" not in readme] == []


@pytest.mark.parametrize("file", PAGES, ids=lambda file: file.name)
def test_extras_are_installed_from_the_folder_of_the_program(file: Path) -> None:
    """No index has it."""
    text = file.read_text("utf-8")
    extras = tomllib.loads((HOME / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    assert "policy-topics[" not in text
    assert set(re.findall(r"'\.\[(\w+)\]'", text)) <= set(extras)
    assert "install '.[" not in text  # it would be a copy without data/ and models/


def test_mlflow_with_its_pages_is_of_the_version_that_writes() -> None:
    (shown,) = re.findall(r"mlflow==([\d.]+)", (HOME / "docs" / "retraining.md").read_text("utf-8"))
    assert f"mlflow-skinny=={shown}\n" in (HOME / "constraints.txt").read_text("utf-8")


def test_the_page_of_the_taxonomy_is_up_to_date() -> None:
    """`python -m configs.taxonomy_page > docs/taxonomy.md` after a change of the topics."""
    made = page(load_taxonomy(), load_english())
    assert (HOME / "docs" / "taxonomy.md").read_text("utf-8") == made


def test_every_topic_has_an_english_definition_and_known_cap_codes() -> None:
    taxonomy = load_taxonomy()
    assert list(load_english()) == list(taxonomy.ids)
    assert {code for topic in taxonomy.topics for code in topic.cap} <= set(CAP_TOPICS)


def test_english_definitions_send_near_misses_where_the_chinese_ones_do() -> None:
    taxonomy, english = load_taxonomy(), load_english()
    for topic in taxonomy.topics:
        told = [set(re.findall(r"[a-z_]+", text)) & set(taxonomy.ids) for text in (topic.not_, english[topic.id].not_)]
        assert told[0] <= told[1], topic.id
