from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from sm_proxy import cli
from sm_proxy.errors import SmProxyError
from sm_proxy.local import output, screen
from sm_proxy.local.output import Result
from sm_proxy.local.screen import Screen
from tests import terminals

VARIABLES = (
    *("SM_PROXY_COLOR", "NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "CLICOLOR", "TERM"),
    *("COLUMNS", "LC_ALL", "LC_CTYPE", "LANG", "PYTHONIOENCODING", "PYTHONUTF8"),
)


class Stream(io.TextIOWrapper):
    """A stream that may be a terminal."""

    def __init__(self, encoding: str = "utf-8", *, terminal: bool = True) -> None:
        super().__init__(io.BytesIO(), encoding=encoding)
        self._terminal = terminal

    def isatty(self) -> bool:
        if self.closed:
            raise ValueError("I/O operation on closed file")
        return self._terminal

    @property
    def written(self) -> bytes:
        self.flush()
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue()


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, "")  # also restores what a test's command line sets
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("variables", "terminal", "coloured"),
    [
        ({"TERM": "xterm-256color"}, True, True),
        ({"TERM": "xterm", "NO_COLOR": ""}, True, True),  # no-color.org: empty counts as not set
        ({"TERM": "xterm", "NO_COLOR": "1"}, True, False),
        ({"TERM": "xterm", "NO_COLOR": "0"}, True, False),
        ({"TERM": "dumb"}, True, False),
        ({"TERM": "xterm"}, False, False),
        ({"TERM": "xterm", "CLICOLOR": "0"}, True, False),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": "0"}, False, False),
        ({"CLICOLOR_FORCE": "1", "TERM": "dumb"}, False, True),
        ({"CLICOLOR_FORCE": "0"}, False, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, True, False),
        ({"SM_PROXY_COLOR": "always", "NO_COLOR": "1"}, False, True),
        ({"SM_PROXY_COLOR": "never", "FORCE_COLOR": "1", "TERM": "xterm"}, True, False),
        ({"SM_PROXY_COLOR": "auto", "TERM": "xterm"}, True, True),
    ],
)
def test_colours_are_for_terminals_that_want_them(
    variables: dict[str, str], terminal: bool, coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_all(monkeypatch, variables)
    stream = Stream(terminal=terminal)
    assert screen.colours(stream) is coloured
    assert ("\033" in screen.of(stream).styled("x", "bad")) is coloured


@pytest.mark.parametrize(
    ("encoding", "variables", "charset"),
    [
        ("utf-8", {"LANG": "de_DE.UTF-8"}, "utf-8"),
        ("UTF8", {"LANG": "en_US.utf8"}, "utf-8"),
        ("utf-8", {"LANG": "de_DE.UTF-8", "LC_ALL": "C"}, "ascii"),
        ("utf-8", {"LANG": "POSIX"}, "ascii"),
        ("utf-8", {"LANG": "C.UTF-8"}, "utf-8"),
        ("utf-8", {"LANG": "C", "LC_CTYPE": "UTF-8"}, "utf-8"),
        ("utf-8", {"LC_ALL": "fr_FR.ISO-8859-1@euro"}, "ascii"),
        ("utf-8", {"LC_ALL": "zh_CN.UTF-8@pinyin"}, "utf-8"),
        ("utf-8", {}, "utf-8"),  # no locale is set: Python's choice
        ("utf-8", {"LC_ALL": "C", "PYTHONUTF8": "1"}, "utf-8"),
        ("utf-8", {"LC_ALL": "C", "PYTHONIOENCODING": "utf-8"}, "utf-8"),
        ("ascii", {"LANG": "C.UTF-8", "PYTHONIOENCODING": "ascii"}, "ascii"),
        ("gb18030", {"LANG": "zh_CN.GB18030"}, "ascii"),
        ("cp1252", {}, "ascii"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no locale in variables")
def test_the_locale_says_what_can_be_shown(
    encoding: str, variables: dict[str, str], charset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_all(monkeypatch, variables)
    monkeypatch.setattr(screen, "_in_utf8_mode", lambda: False)
    assert screen.charset(Stream(encoding)) == charset


def test_the_locale_that_python_has_set_is_not_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch, {"LANG": "C", "LC_CTYPE": "C.UTF-8"})

    monkeypatch.setattr(screen, "_in_utf8_mode", lambda: True)
    monkeypatch.setattr(sys, "platform", "linux")
    assert screen.charset(Stream()) == "ascii"


def test_a_code_page_of_windows_gets_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert screen.charset(Stream("cp1252")) == "ascii"
    assert screen.charset(Stream("utf-8")) == "utf-8"


@pytest.mark.parametrize(
    ("charset", "shown"),
    [
        ("utf-8", "bjørn → “a”… \udcff 任务"),
        ("ascii", 'bj\\xf8rn -> "a"... \\udcff \\u4efb\\u52a1'),
    ],
)
def test_unprintable_characters_get_a_likeness_or_an_escape(charset: str, shown: str) -> None:
    text = "bjørn → “a”… \udcff 任务"
    assert Screen(charset=charset).shown(text) == shown


@pytest.mark.parametrize(("columns", "shown"), [("60", 60), ("", 80), ("x", 80), ("3", 20)])
def test_columns_are_those_of_the_variable_else_eighty(
    columns: str, shown: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert screen.width(Stream()) == shown
    assert screen.of(Stream()).columns == shown
    assert screen.of(Stream(terminal=False)).columns is None


@pytest.mark.skipif(sys.platform == "win32", reason="no pty")
def test_a_resized_terminal_has_its_new_width() -> None:
    ours, theirs = os.openpty()
    with os.fdopen(theirs, "w") as stream, os.fdopen(ours):
        for columns in (132, 60, 0):  # 0: a terminal that does not know its width
            terminals.set_width(theirs, columns)
            assert screen.of(stream).columns == (columns or 80)


def test_a_closed_stream_is_no_terminal() -> None:
    stream = Stream()
    stream.close()
    assert screen.of(stream) == Screen(None)
    assert screen.of(None) == Screen(None)


def test_a_terminal_in_the_locale_c_gets_ascii_and_a_file_gets_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_all(monkeypatch, {"LC_ALL": "C"})
    monkeypatch.setattr(sys, "platform", "linux")
    for terminal, written in ((True, b"a... \\xe9\n"), (False, "a… é\n".encode())):
        stream = Stream(terminal=terminal)
        monkeypatch.setattr(sys, "stdout", stream)
        output.render("x", Result(text="a… é"), as_json=False)
        assert stream.written == written
    monkeypatch.setattr(sys, "stderr", stderr := Stream())
    output.status("a… é")
    assert stderr.written == b"sm-proxy: a... \\xe9\n"


@pytest.mark.parametrize(
    "words", [["--color", "never", "keys", "list"], ["keys", "list", "--color=never"]]
)
def test_the_flag_stands_before_or_after_the_commands_name(
    words: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    set_all(monkeypatch, {"SM_PROXY_COLOR": "always"})
    assert cli.main([*words, "--ssh-config", str(tmp_path / "config")]) == 0
    assert os.environ["SM_PROXY_COLOR"] == "never"


def test_an_unknown_value_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SM_PROXY_COLOR", "blue")
    with pytest.raises(SmProxyError, match="must be auto, always or never"):
        screen.choose_colours(None)
    with pytest.raises(SystemExit):
        cli.main(["list", "--color", "blue"])
    assert "--color" in capsys.readouterr().err


def set_all(monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
