"""The user is asked by OpenSSH's rules, and stdin is never read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sm_proxy.local import prompt
from tests import terminals
from tests.waits import read_until

pty = pytest.importorskip("pty", reason="needs pseudo-terminals")
termios = pytest.importorskip("termios")

CHILD = """
import os, sys
if len(sys.argv) > 1:
    {before}
from sm_proxy.local import prompt
try:
    print(prompt.ask("the code?"))
except prompt.NobodyToAskError as error:
    print("nobody:", error)
"""


@pytest.fixture
def askpass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An askpass program that answers, and records how it was called."""
    program = tmp_path / "askpass"
    program.write_text(f'#!/bin/sh\nprintf %s "$1" > {tmp_path}/asked\nhead -c 9\necho 123456\n')
    program.chmod(0o755)
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SSH_ASKPASS_REQUIRE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SSH_ASKPASS", str(program))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    return program


def no_terminal(_: str) -> None:
    return None


@pytest.mark.parametrize(
    ("variables", "terminal", "answer"),
    [
        ({}, None, None),
        ({"DISPLAY": ""}, None, None),
        ({"DISPLAY": ":0"}, None, "123456"),
        ({"WAYLAND_DISPLAY": "wayland-0"}, None, "123456"),
        ({"DISPLAY": ":0"}, "typed", "typed"),
        ({"DISPLAY": ":0", "SSH_ASKPASS_REQUIRE": "prefer"}, "typed", "123456"),
        ({"SSH_ASKPASS_REQUIRE": "prefer"}, "typed", "typed"),
        ({"SSH_ASKPASS_REQUIRE": "force"}, "typed", "123456"),
        ({"SSH_ASKPASS_REQUIRE": "force", "SSH_ASKPASS": ""}, "typed", None),
        ({"DISPLAY": ":0", "SSH_ASKPASS_REQUIRE": "never"}, None, None),
        ({"DISPLAY": ":0", "SSH_ASKPASS_REQUIRE": "never"}, "typed", "typed"),
        ({"DISPLAY": ":0", "SSH_ASKPASS": ""}, None, None),
        ({"DISPLAY": ":0", "SSH_ASKPASS": "/nonexistent"}, None, None),
        ({"DISPLAY": ":0", "SSH_ASKPASS": "/bin/false"}, None, None),
    ],
)
def test_the_rules_are_those_of_openssh(
    variables: dict[str, str],
    terminal: str | None,
    answer: str | None,
    askpass: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(prompt, "_ask_on_terminal", lambda _: terminal)
    if answer is None:
        with pytest.raises(prompt.NobodyToAskError):
            prompt.ask("code?")
        return
    assert prompt.ask("code?") == answer
    if answer == "123456":
        assert (askpass.parent / "asked").read_text() == "code?"


def test_the_terminal_of_an_ssh_session_is_not_used(
    askpass: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompt, "_ask_on_terminal", lambda _: "typed")
    with pytest.raises(prompt.NobodyToAskError):
        prompt.ask("code?", terminal=False)
    monkeypatch.setenv("DISPLAY", ":0")
    assert prompt.ask("code?", terminal=False) == "123456"


def test_the_question_cannot_write_to_the_terminal(
    askpass: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_ASKPASS_REQUIRE", "force")
    prompt.ask("\x1b[31mcode\n?")
    assert (askpass.parent / "asked").read_text() == "\N{REPLACEMENT CHARACTER}[31mcode ?"


class Terminal:
    """A child process with its own controlling terminal, and other bytes on stdin."""

    def __init__(self, before: str = "") -> None:
        stdin, self.to_stdin = os.pipe()
        os.write(self.to_stdin, b"bytes of ssh\n")
        self.near, self.far = pty.openpty()
        assert self.echoes()
        environment = {k: v for k, v in os.environ.items() if k not in {"DISPLAY", "SSH_ASKPASS"}}
        program = CHILD.replace("{before}", before or "pass")
        self.child: subprocess.Popen[bytes] = subprocess.Popen(
            [sys.executable, "-c", program, *(["x"] if before else [])],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            **terminals.controlling(self.far),
            env=environment,
        )
        os.close(stdin)

    def shown(self, what: bytes) -> bytes:
        return read_until(self.near, what)

    def echoes(self) -> bool:
        return bool(termios.tcgetattr(self.far)[3] & termios.ECHO)

    def output(self) -> str:
        out, _ = self.child.communicate(timeout=60)
        for descriptor in (self.near, self.far, self.to_stdin):
            os.close(descriptor)
        return out.decode().strip()


def test_the_terminal_asks_without_echo() -> None:
    terminal = Terminal()
    assert b"the code? " in terminal.shown(b"code? ")
    assert not terminal.echoes()
    os.write(terminal.near, b"654321\n")
    assert b"654321" not in terminal.shown(b"\n")
    assert terminal.output() == "654321"


def test_the_end_of_input_is_not_an_answer() -> None:
    terminal = Terminal()
    terminal.shown(b"code? ")
    os.write(terminal.near, b"\x04")
    assert terminal.output() == "nobody: the answer was cut off"


def test_a_terminal_with_another_foreground_program_is_not_used() -> None:
    terminal = Terminal("if os.fork(): os.wait(); sys.exit()\n    os.setpgid(0, 0)")
    assert terminal.output().startswith("nobody: there is no terminal")


def test_an_interrupted_question_restores_the_echo() -> None:
    program = "import signal, _thread; signal.signal(15, lambda *_: sys.exit())\n    pass"
    terminal = Terminal(program)
    terminal.shown(b"code? ")
    assert not terminal.echoes()
    terminal.child.terminate()
    assert terminal.child.wait(60) == 0
    assert terminal.echoes()
    terminal.output()


CONFIRMING = """
import os, sys
from sm_proxy.local import prompt
try:
    print(prompt.confirm("really \\x1b[2J now?"))
except prompt.NobodyToAskError as error:
    print("nobody:", error)
"""


@pytest.mark.parametrize(
    ("typed", "means"), [(b"y\n", "True"), (b"Yes\n", "True"), (b"\n", "False"), (b"yo\n", "False")]
)
def test_only_yes_confirms(typed: bytes, means: str) -> None:
    master, slave = pty.openpty()
    try:
        os.write(master, typed)
        done = subprocess.run(
            [sys.executable, "-c", CONFIRMING],
            stdin=slave,
            stderr=slave,
            stdout=subprocess.PIPE,
            check=True,
            timeout=60,
        )
        shown = read_until(master, b"[y/N] ")
    finally:
        os.close(master)
        os.close(slave)
    assert done.stdout.decode().strip() == means
    assert b"really \xef\xbf\xbd[2J now? [y/N] " in shown


def test_without_a_terminal_confirming_is_an_error() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CONFIRMING],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == b"nobody: there is no terminal to ask on\n"
