from __future__ import annotations

import runpy
import shutil
import subprocess
from pathlib import Path

import pytest

from sm_proxy.help.described import Command, Group, Row

PAGE = runpy.run_path(str(Path(__file__).parents[1] / "script" / "man_page.py"))
ROOT = Command(
    "prog", ("prog COMMAND [options]",), "Does it.", (), (
        Group("every day", (Row("do", "do it, as `prog` does"),)),
        Group("output", (Row("-h, --help", "show this"),)),
    ), "More.",
)  # fmt: skip
DO = Command(
    "prog do", ("prog do FILE", "prog do -- CMD"), "Does it's part.",
    (("prog do 'a.*' ~/x", "why not"),), (
        Group("arguments", (Row(".rc", "a \\ file"),)),
        Group("settings", (Row("--region REGION", "where"),)),
        Group("output", (Row("--json", "for scripts"), Row("-h, --help", "show this"))),
    ), "",
)  # fmt: skip


@pytest.fixture
def page() -> str:
    settings = Group("settings", (Row("--region REGION", "where"),))
    return str(PAGE["render"](ROOT, [DO], settings, "1.0"))


def test_the_page_has_its_parts_in_order(page: str) -> None:
    heads = [line for line in page.splitlines() if line.startswith((".SH", ".SS", ".TH"))]
    assert heads[:5] == [
        '.TH SM\\-PROXY 1 "" "sm\\-proxy 1.0" "sm\\-proxy"',
        *(".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION", '.SS "every day"'),
    ]
    assert heads[5:8] == [".SH COMMANDS", '.SS "prog do"', ".SH OPTIONS"]
    assert "do it, as \\fBprog\\fR does" in page


@pytest.mark.skipif(not shutil.which("groff"), reason="no groff on this machine")
def test_groff_shows_it_without_a_warning_and_changes_no_character(page: str) -> None:
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-P-c", "-P-b", "-P-u", "-rLL=60n"],
        input=page, capture_output=True, text=True, check=True, timeout=60, encoding="utf-8",
    )  # fmt: skip
    assert done.stderr == ""
    for literal in ("prog do 'a.*' ~/x", "prog do -- CMD", ".rc", "a \\ file", "--region REGION"):
        assert literal in done.stdout, literal
