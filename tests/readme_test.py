"""The README is short, and keeps what others rely on."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readme_is_short() -> None:
    assert len(README.split()) <= 1200  # as `wc -w` counts


def test_the_readme_has_the_two_commands_that_need_no_account() -> None:
    blocks = "\n".join(re.findall(r"^    (\S.*)$", README, re.MULTILINE))
    for command in ("script/demo", "script/test"):
        assert re.search(rf"^{command} ", blocks, re.MULTILINE)
        assert (ROOT / command).is_file()


def test_the_readme_says_what_has_not_been_run() -> None:
    assert "has been run against a live AWS account" in README
