"""A page in Chinese says the same as the English one, and is set as Chinese is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.docs import pages

CHINESE = ".zh-CN.md"
TRANSLATED = [page for page in pages.all_pages() if page.name.endswith(CHINESE)]

_HAN = "[\u4e00-\u9fff]"
_STOP = "[\u201c\u201d\u3001-\u3011\uff01-\uff1f]"  # fullwidth quotes, stops and brackets
_LATIN = "[A-Za-z0-9`%]"
_WRONG = {
    "no space between Chinese and Latin": f"{_HAN}{_LATIN}|{_LATIN}{_HAN}",
    "a half-width stop beside Chinese": rf"{_HAN} ?[,:;()!?]|[,;()!?]{_HAN}|{_HAN}\.(?!\w)",
    "a space beside a full-width stop": f" {_STOP}|{_STOP} ",
    "a space within Chinese": f"{_HAN} {_HAN}",
    # It is shown as a space.
    "a line break within Chinese": rf"{_HAN}\n *{_HAN}|{_STOP}\n *(?:{_HAN}|{_LATIN})|\n *{_STOP}",
    # CommonMark takes the asterisks for text.
    "no space after a bold stop": rf"{_STOP}\*\*\w",
}


def english(page: Path) -> Path:
    return page.with_name(page.name.removesuffix(CHINESE) + ".md")


def by_kind(page: Path) -> dict[str, Any]:
    """What must be equal in both languages."""
    text = pages.text(page)
    body = text[text.index("\n", text.index(".md)")) :]  # below the link to the other language
    rows = re.findall(r"^\|.*\|$", body, re.MULTILINE)
    spans = re.findall(r"`([^`]+)`", body)
    return {
        "levels of headings": [level for level, _ in pages.headings(page)],
        # Their comments may be translated.
        "blocks": [(re.sub(r" +# .*", "", b.text), b.not_run) for b in pages.blocks(page)],
        "cells of rows": [row.count("|") for row in rows],
        "links": sorted(link.replace(CHINESE, ".md") for link in pages.links(page)[1:]),
        "code": sorted(span for span in spans if re.match(r"[\w-]+ |[~/]", span)),
        "speeds": re.findall(r"\d+(?:\.\d+)? [MG]B/s", body),
    }


def comments(page: Path) -> str:
    """The comments in the blocks of code, one a line."""
    text = "".join(block.text for block in pages.blocks(page))
    return "\n".join(f"# {comment}" for comment in re.findall(r" # (.*)", text))


def faults(text: str) -> dict[str, list[str]]:
    """What is set wrong in a text, with the characters around it."""
    plain = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    plain = re.sub(rf"(?<={_STOP})\*\* |\*\*(?!\w)|(?<!{_STOP})\*\*", "", plain)
    plain = re.sub(
        r"^\|.*\|$", lambda row: re.sub(r" *\| *", "\n\n", row[0]), plain, flags=re.MULTILINE
    )
    found = {
        what: [
            plain[max(0, match.start() - 9) : match.end() + 9]
            for match in re.finditer(pattern, plain)
        ]
        for what, pattern in _WRONG.items()
    }
    return {what: where for what, where in found.items() if where}


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
    assert [title for title in titles if not re.search(_HAN, title)] == []


@pytest.mark.parametrize("page", TRANSLATED, ids=pages.name)
def test_chinese_is_set_as_chinese(page: Path) -> None:
    assert faults(pages.text(page)) == {}
    assert faults(comments(page)) == {}


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("用ssh 登录", "no space between Chinese and Latin"),
        ("[页](a.md)和ssh", "no space between Chinese and Latin"),
        ("登录, 然后", "a half-width stop beside Chinese"),
        ("登录 (容器)", "a half-width stop beside Chinese"),
        ("登录、 然后", "a space beside a full-width stop"),
        ("登录 容器", "a space within Chinese"),
        ("登录。\n然后", "a line break within Chinese"),
        ("登录、\n`ssh`", "a line break within Chinese"),
        ("**登录。**然后", "no space after a bold stop"),
    ],
)
def test_a_fault_is_found(text: str, wrong: str) -> None:
    assert wrong in faults(text)


def test_a_correct_translation_has_no_fault() -> None:
    assert faults("**登录。** 用 [ssh](a.md) 登录\n`sm-myjob`、`ls`。\n\n然后\n- 一项\n") == {}
