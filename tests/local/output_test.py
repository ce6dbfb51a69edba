from __future__ import annotations

import io
import json
import logging
import os
import sys
from pathlib import Path

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.local import layout, output, stdio
from sm_proxy.local.output import Result
from sm_proxy.local.screen import Screen
from sm_proxy.local.threads import Background
from tests import terminals
from tests.waits import read_until


def test_the_frozen_envelope_of_a_result() -> None:
    text = output.envelope("resolve", data={"job": "x"}, error=None)
    assert text == (
        '{"sm_proxy": 1, "command": "resolve", "ok": true, "data": {"job": "x"}, "error": null}'
    )


def test_the_frozen_envelope_of_a_failure() -> None:
    error = SmProxyError("no-vpc", "why", "what next")
    assert json.loads(output.envelope("resolve", data=None, error=error)) == {
        "sm_proxy": 1,
        "command": "resolve",
        "ok": False,
        "data": None,
        "error": {"code": "no-vpc", "message": "why", "hint": "what next"},
    }


def test_empty_data_is_an_object() -> None:
    assert json.loads(output.envelope("x", data={}, error=None))["data"] == {}


def test_json_is_one_line_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    output.render("x", Result({"a": "\x1b"}, "text"), as_json=True)
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.count("\n") == 1
    assert "\x1b" not in captured.out
    assert json.loads(captured.out)["data"] == {"a": "\x1b"}


@pytest.mark.parametrize(("text", "shown"), [("a", "a\n"), ("a\n", "a\n"), ("", "")])
def test_text_ends_with_one_newline(
    text: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output.render("x", Result(text=text), as_json=False)
    assert capsys.readouterr().out == shown


def test_a_failure_prints_nothing_for_people_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    output.render_error("x", SmProxyError("no-vpc", "why"), as_json=False)
    assert capsys.readouterr() == ("", "")


def test_a_status_is_one_printable_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    output.status("the account says\n\x1b[2Jhello")
    assert capsys.readouterr() == ("", "sm-proxy: the account says \ufffd[2Jhello\n")


def test_text_that_a_terminal_cannot_show_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    output.render("x", Result(text="bjørn"), as_json=False)
    assert raw.getvalue() == b"bj\\xf8rn\n"


def test_a_result_is_laid_out_for_stdout_but_not_for_json(
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen: list[Screen] = []

    def draw(screen: Screen) -> str:
        seen.append(screen)
        return "drawn"

    output.render("x", Result({}, draw), as_json=True)
    assert not seen
    capsys.readouterr()
    output.render("x", Result({}, draw), as_json=False)
    assert capsys.readouterr().out == "drawn\n"
    assert [(screen.columns, screen.colours) for screen in seen] == [(None, False)]


def test_sentences_wrap_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    sentences = ("one two three four five six seven", "", "    A=to be copied, not to be broken")
    output.render("x", Result(text=sentences), as_json=False)
    assert tuple(capsys.readouterr().out.splitlines()) == sentences
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    output.render("x", Result(text=sentences), as_json=False)
    first, second, *others = capsys.readouterr().out.splitlines()
    assert f"{first} {second}" == sentences[0]
    assert tuple(others) == sentences[1:]


class Closed(io.StringIO):
    def write(self, _: str) -> int:
        raise BrokenPipeError


@pytest.mark.skipif(sys.platform == "win32", reason="there are no ptys")
@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (40, "bastion is CREATE_IN_PROGRESS, and waits"),
        (30, "中" * 8 + " and so on"),
    ],
)
def test_a_status_wraps_on_a_narrow_terminal(
    columns: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    near, far = os.openpty()
    terminals.set_width(far, columns)
    monkeypatch.delenv("COLUMNS", raising=False)
    with os.fdopen(far, "w", encoding="utf-8") as stream, os.fdopen(near, "rb", 0) as terminal:
        monkeypatch.setattr(sys, "stderr", stream)
        output.status(words)
        last_word = words.rpartition(" ")[2].encode()
        lines = read_until(terminal.fileno(), last_word).decode().splitlines()
    assert len(lines) == 2
    assert max(map(layout.cells, lines)) <= columns
    assert " ".join(line[len("sm-proxy: ") :] for line in lines) == words


@pytest.mark.parametrize("terminal", [True, False])
def test_a_long_status_wraps_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, *, terminal: bool
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("COLUMNS", "60")
    words = "these jobs continue without a bastion: training job bert, training job gpt"
    output.status(words)
    lines = stream.getvalue().splitlines()
    assert " ".join(line[len("sm-proxy: ") :] for line in lines) == words
    assert len(lines) == (2 if terminal else 1)
    assert max(map(len, lines)) <= (60 if terminal else 100)


@pytest.mark.parametrize("stderr", [None, Closed()])
def test_a_closed_stderr_is_not_an_error(
    stderr: io.StringIO | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", stderr)
    output.status("hello")


@pytest.mark.parametrize("terminal", [True, False])
def test_a_dim_line_is_faint_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, *, terminal: bool
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    output.status("again", dim=True)
    output.status("new")
    faint, plain = stream.getvalue().splitlines()
    assert faint == ("\x1b[2msm-proxy: again\x1b[0m" if terminal else "sm-proxy: again")
    assert plain == "sm-proxy: new"


def test_status_lines_go_to_a_log_for_another_program(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "sm_proxy")
    with output.status_to_log():
        output.status("waiting\x1b")
        Background(lambda: output.status("from a thread")).result()
    assert caplog.messages == ["waiting\N{REPLACEMENT CHARACTER}", "from a thread"]
    assert capfd.readouterr() == ("", "")
    output.status("printed")
    assert capfd.readouterr().err == "sm-proxy: printed\n"


@pytest.mark.skipif(not stdio.POLLABLE, reason="only POSIX tells")
def test_a_reader_that_has_gone_is_noticed_without_a_write(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        output.refuse_without_reader()
        os.close(reader)
        with pytest.raises(BrokenPipeError):
            output.refuse_without_reader()
    output.refuse_without_reader()  # closed
    with (tmp_path / "file").open("w") as file:
        for other in (file, io.StringIO(), None):
            monkeypatch.setattr(sys, "stdout", other)
            output.refuse_without_reader()
