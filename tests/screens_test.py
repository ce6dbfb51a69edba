"""What the commands show, compared with the files in `tests/screens`."""

from __future__ import annotations

import re

import pytest

from sm_proxy.local import layout
from sm_proxy.local.screen import Screen
from tests.screens import drawings
from tests.screens.drawings import SCREENS, WIDTHS

UNCOLOURED = {"config-check", "daemon-status", "infra-status", "keys-list", "keys-revoke"}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", SCREENS)
def test_a_screen_looks_as_it_did(name: str, width: int) -> None:
    """If the change is meant: `python -m tests.screens.drawings`, and look at the difference."""
    assert drawings.drawn(name, width) == drawings.path(name, width).read_text(encoding="utf-8")


def test_every_file_belongs_to_a_screen() -> None:
    expected = {drawings.path(name, width) for name in SCREENS for width in WIDTHS}
    assert set(drawings.FOLDER.glob("*.txt")) == expected


@pytest.mark.parametrize("name", SCREENS)
def test_only_what_cannot_be_broken_is_longer_than_a_line(name: str) -> None:
    for width in WIDTHS:
        for line in drawings.drawn(name, width).splitlines():
            words = re.sub(r"ssh-\S+ AAAA\S*|ecdsa-\S+ AAAA\S*", "key", line).split()
            assert layout.cells(line) <= width or len(words) == 1, line


@pytest.mark.parametrize("name", SCREENS)
def test_a_pipe_gets_the_words_of_a_terminal(name: str) -> None:
    """In whole lines, so that grep finds what belongs together."""
    draw = SCREENS[name]
    piped, narrow = draw(Screen()), draw(Screen(60))
    assert piped.count("\n") <= narrow.count("\n")
    assert "".join(piped.split()).replace(":", "") == "".join(narrow.split()).replace(":", "")


@pytest.mark.parametrize("name", SCREENS)
def test_ascii_and_colours_move_no_column(name: str) -> None:
    draw = SCREENS[name]
    plain = draw(Screen(80, charset="ascii"))
    assert plain.isascii()
    coloured = draw(Screen(80, colours=True, charset="ascii"))
    assert ("\033" in coloured) is (name not in UNCOLOURED)
    for sgr in ("31", "32", "35", "1", "2", "0"):
        coloured = coloured.replace(f"\033[{sgr}m", "")
    assert coloured == plain
