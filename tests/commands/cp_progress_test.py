"""What `sm-proxy cp` shows while it copies: a bar, lines, or nothing."""

from __future__ import annotations

import itertools
import os
import pty
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from sm_proxy.commands import cp_progress
from sm_proxy.local import waits
from sm_proxy.transfer.progress import Progress
from tests.waits import read_until

HOSTILE = "/opt/ml/[red]\x1b[2Jmodel\n.pt"


def at(done: int, name: str = "model.pt") -> Progress:
    return Progress(done, 1_000_000, 3, 10, 1000.0, name)


def test_numbers_in_words() -> None:
    words = "400.0 KB of 1.0 MB (40 %), 1.0 KB/s, 10m00s left, 3 of 10 files"
    assert cp_progress.in_words(at(400_000)) == words
    assert "left" not in cp_progress.in_words(Progress(0, 1000, 0, 1, 0.0, ""))
    assert "files" not in cp_progress.in_words(Progress(0, 1000, 0, 1, 0.0, ""))
    assert "2h05m left" in cp_progress.in_words(Progress(0, 7500, 0, 1, 1.0, ""))


def test_the_end_of_a_copy_is_its_check() -> None:
    all_here = Progress(1000, 1000, 2, 3, 500.0, "")
    assert cp_progress.in_words(all_here) == (
        "1.0 KB of 1.0 KB (100 %), checking what was copied, 2 of 3 files"
    )
    assert "checking" not in cp_progress.in_words(Progress(1000, 1000, 3, 3, 500.0, ""))


def test_without_a_terminal_a_line_every_ten_seconds() -> None:
    now = [0.0]
    said: list[str] = []
    lines = cp_progress.Lines(said.append, lambda: now[0])
    for second in range(35):
        now[0] = second
        lines.show(at(second * 1000))
    assert [line.partition(" of ")[0] for line in said] == ["10.0 KB", "20.0 KB", "30.0 KB"]


def test_quiet_shows_nothing() -> None:
    with cp_progress.display(quiet=True) as show:
        assert show is None


def on_terminal(
    monkeypatch: pytest.MonkeyPatch,
    columns: int,
    name: str,
    term: str = "xterm",
    foreground: Iterable[bool] = itertools.repeat(True),
) -> str:
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("LINES", "24")
    answers = iter(foreground)
    monkeypatch.setattr(waits._DISPLAY, "is_foreground", lambda _: next(answers))
    ours, theirs = pty.openpty()
    with Path(os.ttyname(theirs)).open("w", encoding="utf-8") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        with cp_progress.display(quiet=False) as show:
            assert show is not None
            show(at(400_000, name))
        print("END", file=stderr, flush=True)
        monkeypatch.undo()
        shown = read_until(ours, b"END").decode()
    os.close(theirs)
    os.close(ours)
    return shown


@pytest.mark.parametrize("columns", [20, 60, 80, 200])
def test_a_terminal_shows_numbers_and_the_name_as_far_as_there_is_room(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = on_terminal(monkeypatch, columns, "/opt/ml/checkpoints/model.pt")
    assert "400.0 KB of 1.0" in shown
    assert ("model.pt" in shown) is (columns >= 80)
    assert "/opt/ml" not in shown


def test_a_file_name_cannot_control_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = on_terminal(monkeypatch, 200, HOSTILE)
    assert "[red]" in shown
    assert "\x1b[2J" not in shown


def test_the_end_of_a_wide_file_name_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "料.pt" in on_terminal(monkeypatch, 100, "训练资料" * 10 + ".pt")


@pytest.mark.parametrize("columns", [20, 100, 200])
def test_a_locale_without_utf8_gets_ascii(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.delenv("PYTHONIOENCODING", raising=False)
    monkeypatch.delenv("PYTHONUTF8", raising=False)
    assert on_terminal(monkeypatch, columns, "é" * 40).isascii()


def test_the_background_gets_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if it goes there while the bar is shown."""
    later = on_terminal(monkeypatch, 80, "model.pt", foreground=(True, False, False))
    assert "400.0 KB" not in later
    assert "\x1b" not in on_terminal(monkeypatch, 80, "model.pt", foreground=(False,))


def test_an_older_rich_shows_the_bar_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until 14.1, what it puts in the place of stderr has no descriptor."""
    monkeypatch.delattr("rich.file_proxy.FileProxy.fileno", raising=False)
    assert "400.0 KB of 1.0" in on_terminal(monkeypatch, 80, "model.pt")


def test_a_stop_leaves_the_cursor_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    before, _, _ = on_terminal(monkeypatch, 80, "model.pt").partition("400.0 KB")
    assert before.rfind("\x1b[?25h") > before.rfind("\x1b[?25l")


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("SM_PROXY_COLOR", "never")])
def test_no_colour_is_obeyed(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    assert "\x1b[9" not in on_terminal(monkeypatch, 200, "model.pt")


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b" not in on_terminal(monkeypatch, 200, "model.pt", term="dumb")
