"""Every link of the documentation leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs import pages

PAGES = pages.all_pages()


@pytest.mark.parametrize("page", PAGES, ids=pages.name)
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    wrong = []
    for link in pages.links(page):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.is_file() or (anchor and anchor not in pages.anchors(target)):
            wrong.append(link)
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=pages.name)
def test_a_link_outside_is_https(page: Path) -> None:
    outside = [link for link in pages.links(page) if "://" in link]
    assert all(link.startswith("https://") for link in outside), outside


@pytest.mark.parametrize("page", sorted((pages.ROOT / "docs").glob("*.md")), ids=pages.name)
def test_a_page_of_the_manual_says_what_it_is_for_and_links_back(page: Path) -> None:
    if page.name == "index.md":
        return
    title, *paragraphs = page.read_text(encoding="utf-8").rstrip().split("\n\n")
    assert title.startswith("# ")
    first = next(text for text in paragraphs if not re.fullmatch(r"<!--.*-->|\[.*\]\(.*\)", text))
    assert not first.startswith((" ", "|", "#", "-", "`" * 3)), first
    assert paragraphs[-1].endswith("](index.md)")


def test_the_index_names_every_page() -> None:
    docs = pages.ROOT / "docs"
    index = docs / "index.md"
    named = {(docs / link.partition("#")[0]).resolve() for link in pages.links(index)}
    wanted = {*docs.glob("*.md"), *pages.ROOT.glob("README*.md"), pages.ROOT / "CONTRIBUTING.md"}
    assert wanted - {index} <= named
