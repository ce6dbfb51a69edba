"""A page in two languages says the same in both: headings, commands, links and figures."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.docs import commands, pages

CHINESE = ".zh-CN.md"
TRANSLATED = [page for page in pages.all_pages() if page.name.endswith(CHINESE)]


def english(page: Path) -> Path:
    return page.with_name(page.name.removesuffix(CHINESE) + ".md")


def same_in_both(link: str) -> str:
    """A link as the other language has it, if it leads to a page in two languages."""
    return link.replace(CHINESE, ".md")


def by_kind(page: Path) -> dict[str, Any]:
    """What must be equal, in order."""
    text = pages.text(page)
    body = text[text.index("\n", text.index(".md)")) :]  # below the link to the other language
    return {
        "levels of headings": [level for level, _ in pages.headings(page)],
        "commands": [(item.text, item.not_run) for item in commands.of_page(page)],
        "blocks of output and files": [
            block.text
            for block in pages.blocks(page)
            if block.language not in {"", "sh", "bash", "console"} or ": " in block.text
            if " # " not in block.text
        ],
        "links": sorted(same_in_both(link) for link in re.findall(r"\]\(([^()\s]+)\)", body)),
        "rows of tables": [line.count(" | ") for line in body.splitlines() if line.startswith("|")],
        "code": sorted(
            span for span in re.findall(r"`([^`]+)`", body) if re.match(r"[\w-]+ |[~/]", span)
        ),
        "speeds": re.findall(r"\d+(?:\.\d+)? [MG]B/s", body),
    }


def test_the_readme_is_in_two_languages() -> None:
    assert pages.ROOT / f"README{CHINESE}" in TRANSLATED


@pytest.mark.parametrize("page", TRANSLATED, ids=pages.name)
def test_both_languages_say_the_same(page: Path) -> None:
    assert by_kind(page) == by_kind(english(page))


@pytest.mark.parametrize("page", TRANSLATED, ids=pages.name)
def test_each_language_leads_to_the_other_at_the_top(page: Path) -> None:
    other = english(page)
    assert pages.links(page)[0] == other.name
    assert pages.links(other)[0] == page.name


@pytest.mark.parametrize("page", TRANSLATED, ids=pages.name)
def test_the_translation_is_in_chinese(page: Path) -> None:
    titles = [title for level, title in pages.headings(page) if level > 1]
    assert [title for title in titles if not re.search(r"[\u4e00-\u9fff]", title)] == []
