"""Every command line of ours in the documentation is one that sm-proxy takes."""

from __future__ import annotations

import contextlib
import functools
import io
import re
from pathlib import Path
from typing import Final

import pytest

from sm_proxy import cli
from sm_proxy.errors import SmProxyError
from sm_proxy.help import described
from sm_proxy.settings.schema import FLAGS, option
from tests.docs import commands, pages, run_by

PAGES = [page for page in pages.all_pages() if page.name != "CHANGELOG.md"]
FOR_USERS = [
    page for page in PAGES if page.name != "CONTRIBUTING.md" and page.parent.name != "decisions"
]

WRITTEN_FROM_HELP = {"commands.md"}
"""The tests of help look after its examples."""

_OF_SETTINGS: Final = {option(name) for name in FLAGS}
"""Every command has these options: a test of another one may use them."""

_parser = functools.cache(cli.full_parser)


@functools.cache
def _names() -> set[str]:
    """`sm-proxy`, and the full name of each command and action."""
    return {parser.prog for parser in described.walk(_parser())}


def named(words: list[str]) -> set[str]:
    """The command, action and options of a command line, without those of settings."""
    name = "sm-proxy"
    found = set()
    for word in words:
        if f"{name} {word}" in _names():
            name += f" {word}"
            found.add(word)
        elif word.startswith("--"):
            found.add(word.partition("=")[0])
    return found - _OF_SETTINGS


def wrong(words: list[str]) -> str:
    """What sm-proxy says about a command line; empty if it takes it."""
    if words[0] == "help" and {*words[1:]} <= {*cli.COMMANDS, "COMMAND"}:
        return ""
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told), contextlib.redirect_stdout(told):
            _parser().parse_args(words)
    except SmProxyError as error:
        return error.message
    except SystemExit as error:
        return told.getvalue() if error.code else ""
    return ""


@pytest.mark.parametrize("page", PAGES, ids=pages.name)
def test_sm_proxy_takes_every_command_line(page: Path) -> None:
    lines = [item.text for item in commands.of_page(page)]
    refused = {
        line: said for line in lines for words in commands.ours(line) if (said := wrong(words))
    }
    assert refused == {}


@pytest.mark.parametrize("page", FOR_USERS, ids=pages.name)
def test_sm_proxy_has_every_command_and_option_that_the_text_names(page: Path) -> None:
    refused = {
        line: said
        for line in commands.in_prose(page)
        for words in commands.ours(line)
        # A sentence may name a command without its arguments.
        if (said := wrong(words)) and "arguments are required" not in said
    }
    assert refused == {}


@pytest.mark.parametrize(
    "page", [page for page in FOR_USERS if page.name not in WRITTEN_FROM_HELP], ids=pages.name
)
def test_every_command_is_run_by_a_test_or_marked(page: Path) -> None:
    shown = [item for item in commands.of_page(page) if not item.not_run]
    assert [item.text for item in shown if not run_by.test_of(item.text)] == []


def test_the_tests_that_run_commands_exist_and_run_some() -> None:
    shown = [item.text for page in FOR_USERS for item in commands.of_page(page)]
    tests = {test for _, test in run_by.ROWS}
    assert {run_by.test_of(command) for command in shown} >= tests
    assert [test for test in tests if not (pages.ROOT / test).is_file()] == []


@pytest.mark.parametrize("page", FOR_USERS, ids=pages.name)
def test_the_test_of_a_command_has_its_words(page: Path) -> None:
    missing = {}
    for item in commands.of_page(page):
        test = run_by.test_of(item.text)
        if item.not_run or not test or test in run_by.AS_WRITTEN:
            continue
        there = set(re.findall(r"[\w-]+", (pages.ROOT / test).read_text(encoding="utf-8")))
        if lacks := {x for words in commands.ours(item.text) for x in named(words)} - there:
            missing[item.text] = (test, lacks)
    assert missing == {}


def test_a_command_line_has_its_names_and_its_own_options() -> None:
    line = "sm-proxy --region x infra deploy --nat per-zone --yes; sm-proxy list --check=1"
    assert [named(words) for words in commands.ours(line)] == [
        {"infra", "deploy", "--nat", "--yes"},
        {"list", "--check"},
    ]


def test_the_tests_that_run_lines_as_written_read_a_page() -> None:
    texts = {test: (pages.ROOT / test).read_text(encoding="utf-8") for test in run_by.AS_WRITTEN}
    assert [test for test, text in texts.items() if "docs" not in text] == []


@pytest.mark.parametrize("page", PAGES, ids=pages.name)
def test_a_page_says_in_words_that_a_command_was_not_run(page: Path) -> None:
    if any(block.not_run for block in pages.blocks(page)):
        assert "not run" in pages.prose(page).replace("<!-- not run", "").lower()


def test_a_command_line_with_a_mistake_is_found() -> None:
    (words,) = commands.ours("SM_PROXY_LOG=debug sm-proxy list --chek  # a comment")[:1]
    assert "--chek" in wrong(words[:2])
    assert commands.ours('pdsh -w "$(sm-proxy nodes sm-myjob --format pdsh)" hostname') == [
        ["nodes", "sm-myjob", "--format", "pdsh"]
    ]
