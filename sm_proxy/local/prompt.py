"""Ask the user for a secret on the terminal or through SSH_ASKPASS, because stdin belongs to ssh.

The rules are OpenSSH's (readpass.c): the terminal first, else the program in SSH_ASKPASS, which
needs a display unless SSH_ASKPASS_REQUIRE says otherwise. We do not read a terminal while another
process group is in its foreground: the kernel would stop us.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

from sm_proxy.errors import printable
from sm_proxy.local import secret_values, waits

_LINE_LIMIT: Final = 1024
_DISPLAYS: Final = ("DISPLAY", "WAYLAND_DISPLAY")
_without_terminal: list[Callable[[], object]] = []
"""What to do instead of asking on a terminal; empty if this process may have one."""


class NobodyToAskError(Exception):
    """There is no terminal and no askpass program, or the user gave no answer."""


def at_terminal() -> bool:
    """Whether stdin and stderr are a terminal, so that a command can ask there."""
    # AttributeError: both are None if Python was started with them closed.
    try:
        return sys.stdin.isatty() and sys.stderr.isatty()
    except (AttributeError, ValueError):
        return False


def confirm(question: str) -> bool:
    """Ask a yes-or-no question of a command that has stdin to itself; anything but yes is no.

    Args:
        question: one line; we append the possible answers.

    Raises:
        NobodyToAskError: stdin or stderr is not a terminal.
    """
    if not at_terminal():
        raise NobodyToAskError("there is no terminal to ask on")
    with waits.terminal_lent():
        sys.stderr.write(f"{printable(question)} [y/N] ")
        sys.stderr.flush()
        return sys.stdin.readline().strip().lower() in {"y", "yes"}


def ask(question: str, *, terminal: bool = True) -> str:
    """Ask a question and return the answer, which is not echoed.

    Args:
        question: one line; we append a space.
        terminal: whether to use the terminal: False while ssh has a session on it.

    Raises:
        NobodyToAskError: there is no way to ask, or the user gave no answer.
    """
    with waits.terminal_lent():
        answer = _answer(printable(question) + " ", terminal=terminal)
    secret_values.keep(answer)
    return answer


def have_no_terminal(instead: Callable[[], object]) -> None:
    """Say that the user's terminal is another process's.

    Args:
        instead: called before a question that would be asked there; it may leave the work to that
            process, and end this one.
    """
    _without_terminal[:] = [instead]


def leave_to_terminal() -> None:
    """Let the process that has the user's terminal do the work, if that is another one.

    Returns if it is not, or if it is too late for that.
    """
    for leave in _without_terminal:
        leave()


def _answer(question: str, *, terminal: bool) -> str:
    required = os.environ.get("SSH_ASKPASS_REQUIRE", "").lower()
    allowed = required == "force" or (
        required != "never" and any(os.environ.get(name) for name in _DISPLAYS)
    )
    askpass = _askpass() if allowed else None
    if askpass and required in {"force", "prefer"}:
        return _ask_through(askpass, question)
    if terminal and required != "force" and (answer := _typed(question)) is not None:
        return answer
    if askpass is None:
        raise NobodyToAskError("there is no terminal and no SSH_ASKPASS to ask on")
    return _ask_through(askpass, question)


def _typed(question: str) -> str | None:
    leave_to_terminal()
    return _ask_on_terminal(question)


def _askpass() -> str | None:
    return os.environ.get("SSH_ASKPASS") or shutil.which("ssh-askpass")


def _ask_through(program: str, question: str) -> str:
    try:
        with subprocess.Popen(
            [program, question.rstrip()], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        ) as process:
            # Close its window when we end, which we do when ssh ends.
            atexit.register(process.kill)
            assert process.stdout is not None  # noqa: S101 - for the type checker
            answer = process.stdout.read(_LINE_LIMIT)
    except OSError as error:
        raise NobodyToAskError(f"{program} cannot be run: {error.strerror or error}") from None
    atexit.unregister(process.kill)
    if process.returncode != 0:
        raise NobodyToAskError(f"{program} gave no answer")
    return answer.decode(errors="replace").splitlines()[0] if answer.strip() else ""


if sys.platform == "win32":
    import msvcrt

    def _ask_on_terminal(question: str) -> str | None:
        """The answer typed on the console, which is not stdin; None without a console."""
        try:
            with open("CONOUT$", "w", encoding="utf-8") as console:  # noqa: PTH123 - a device
                console.write(question)
                console.flush()
                answer = _typed_on_console()
                console.write("\n")
        except OSError:
            return None
        return answer

    def _typed_on_console() -> str:
        typed = ""
        while (key := msvcrt.getwch()) not in "\r\n":
            if key == "\x03":
                raise KeyboardInterrupt
            typed = typed[:-1] if key == "\b" else typed + key
        return typed

else:

    def _ask_on_terminal(question: str) -> str | None:
        """The answer typed on the controlling terminal; None if we may not read it now."""
        with contextlib.suppress(OSError):
            terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
            try:
                if os.tcgetpgrp(terminal) != os.getpgrp():
                    return None
                with _silent(terminal):
                    os.write(terminal, question.encode())
                    answer = os.read(terminal, _LINE_LIMIT)
                    os.write(terminal, b"\n")
            finally:
                os.close(terminal)
            if not answer.endswith(b"\n"):
                raise NobodyToAskError("the answer was cut off")
            return answer.decode(errors="replace").rstrip("\r\n")
        return None

    @contextlib.contextmanager
    def _silent(terminal: int) -> Iterator[None]:
        """Switch the echo off, and on again at the end, also if the process exits."""
        import termios  # noqa: PLC0415 - only to ask

        before = termios.tcgetattr(terminal)
        after: list[Any] = [*before]
        after[3] = (before[3] & ~termios.ECHO) | termios.ICANON | termios.ISIG
        own = os.dup(terminal)

        def restore() -> None:
            with contextlib.suppress(OSError, termios.error):
                termios.tcsetattr(own, termios.TCSADRAIN, before)

        atexit.register(restore)
        try:
            termios.tcsetattr(terminal, termios.TCSAFLUSH, after)
            yield
        finally:
            restore()
            atexit.unregister(restore)
            os.close(own)
