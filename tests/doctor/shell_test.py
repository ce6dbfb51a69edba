"""The check of a shell, with each order in which a server may send output, status and end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from sm_proxy.doctor import shell
from sm_proxy.doctor.check import Context
from tests.doctor.helpers import failure

WORD = b"sm-proxy-is-here\n"
Step = Callable[["Channel"], None]


class Channel:
    """A paramiko channel; each look at it lets the server do its next step."""

    def __init__(self, steps: list[Step]) -> None:
        self._steps = iter(steps)
        self.out = self.errors = b""
        self.status = -1
        self.status_event = threading.Event()
        self.eof_received = self.closed = False

    def __enter__(self) -> Channel:  # noqa: PYI034 - Self is newer than Python 3.10
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True

    def exec_command(self, command: str) -> None:
        assert command == f"echo {WORD.decode().strip()}"

    def recv_ready(self) -> bool:
        found = bool(self.out)
        next(self._steps, lambda _: None)(self)
        return found

    def recv(self, _size: int) -> bytes:
        found, self.out = self.out, b""
        return found

    def recv_stderr_ready(self) -> bool:
        return bool(self.errors)

    def recv_stderr(self, _size: int) -> bytes:
        return self.errors

    def recv_exit_status(self) -> int:
        return self.status


def prints(text: bytes) -> Step:
    return lambda channel: setattr(channel, "out", channel.out + text)


def complains(text: bytes) -> Step:
    return lambda channel: setattr(channel, "errors", text)


def ends(status: int) -> Step:
    def end(channel: Channel) -> None:
        channel.status = status
        channel.status_event.set()

    return end


def closes(channel: Channel) -> None:
    channel.eof_received = True


def examined(context: Context, *steps: Step) -> Context:
    channel = Channel(list(steps))
    ssh: Any = SimpleNamespace(open_session=lambda **_: channel)
    return replace(context, ssh=ssh)


@pytest.mark.parametrize(
    "steps",
    [
        (prints(WORD), ends(0), closes),
        (prints(WORD), closes, ends(0)),
        (ends(0), prints(WORD), closes),
        (ends(0), prints(WORD[:4]), prints(WORD[4:]), closes),
        (prints(WORD), ends(0)),  # a program in the background keeps the output open
    ],
    ids=["as usual", "end first", "status first", "status before two parts", "left open"],
)
def test_a_command_that_runs_passes(context: Context, steps: tuple[Step, ...]) -> None:
    assert shell.answers(examined(context, *steps)) == "a command ran"


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ((ends(0), closes), "does not run our command"),
        ((prints(b"hi\n" + WORD), ends(0), closes), 'before a command runs: "hi sm-proxy-is-here"'),
        ((complains(b"no shell"), ends(127), closes), 'ends with status 127: "no shell"'),
    ],
    ids=["nothing", "other text", "status"],
)
def test_a_shell_that_does_otherwise_is_explained(
    context: Context, steps: tuple[Step, ...], words: str
) -> None:
    error = failure(shell.answers, examined(context, *steps))
    assert error.code == "login-refused"
    assert words in error.message


def test_a_command_without_an_end_is_explained(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell, "_RUN_S", 0.2)
    assert "does not end within" in failure(shell.answers, examined(context)).message
