"""A page in Chinese keeps step with the English one: headings, commands, tables and links."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.docs import pages

_END = ".zh-CN.md"
TRANSLATED = [page for page in pages.all_pages() if page.name.endswith(_END)]


def english(page: Path) -> Path:
    return page.with_name(page.name.replace(_END, ".md"))


def shape(page: Path) -> dict[str, Sequence[object]]:
    """What both pages must have."""
    text = page.read_text(encoding="utf-8")
    rows = re.findall(r"^\|.*\|$", text, re.MULTILINE)
    return {
        "levels of headings": [level for level, _ in pages.headings(page)],
        # Their comments may be translated.
        "code": [re.sub(r" +# .*", "", block.text) for block in pages.blocks(page)],
        "cells of rows": [row.count("|") for row in rows],
        "links": sorted(link.replace(".zh-CN", "") for link in pages.links(page)),
    }


@pytest.mark.parametrize("page", TRANSLATED, ids=pages.name)
def test_a_translation_has_what_the_original_has(page: Path) -> None:
    assert shape(page) == shape(english(page))


def test_each_links_to_the_other() -> None:
    assert TRANSLATED
    for page in TRANSLATED:
        assert english(page).name in pages.links(page), pages.name(page)
        assert page.name in pages.links(english(page)), pages.name(english(page))
