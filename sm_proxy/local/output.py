"""Print results and status lines: the only module that writes to stdout.

It also knows what this process waits for. `status_line` shows that on stderr once it takes more
than a second; the ssh path imports it only then.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from sm_proxy.errors import SmProxyError, printable
from sm_proxy.local import poll, secret_values
from sm_proxy.local.redaction import redact
from sm_proxy.local.threads import INHERITED

if TYPE_CHECKING:
    from sm_proxy.local.screen import Screen

ENVELOPE_VERSION = 1
PEN: Final = threading.RLock()
"""Held to write to stderr while the status line may stand there."""
_LOG: Final = "sm_proxy"
_OURS: Final = "sm-proxy: "
_LEAST_COLUMNS: Final = 60
"""A line that is not longer fits into any terminal."""
_WITHOUT_CURSOR: Final = frozenset({"dumb", "unknown"})
"""Values of TERM for terminals on which no line can be rewritten."""


@dataclass(frozen=True)
class Result:
    """The result of a command.

    Attributes:
        data: for scripts: the envelope's `data`.
        text: for people; empty to print nothing. A text is printed as it is, and sentences are
            wrapped at the width of a terminal. A function lays out anything else, and is not called
            for `--json`.
        exit_status: of the process.
        failure: an error after partial success: `data` is printed, then the command ends as if the
            error had been raised.
    """

    data: dict[str, Any] = field(default_factory=dict)
    text: str | tuple[str, ...] | Callable[[Screen], str] = ""
    exit_status: int = 0
    failure: SmProxyError | None = None


def render(command: str, result: Result, *, as_json: bool) -> None:
    """Print a result, as the JSON envelope or as text."""
    if as_json:
        ok = not result.exit_status
        _write(envelope(command, data=result.data, error=result.failure, ok=ok) + "\n")
        return
    text = result.text if isinstance(result.text, str) else _laid_out(result.text)
    if text:
        _write(text if text.endswith("\n") else text + "\n")


def _laid_out(text: tuple[str, ...] | Callable[[Screen], str]) -> str:
    from sm_proxy.local import layout, screen  # noqa: PLC0415 - ssh does without

    shown = screen.of(sys.stdout)
    return layout.text(text, shown) if isinstance(text, tuple) else text(shown)


def render_error(command: str, error: SmProxyError, *, as_json: bool) -> None:
    """Print the JSON envelope of a failure; `error_handler` prints the line for people."""
    if as_json:
        _write(envelope(command, data=None, error=error) + "\n")


def write_part(text: str) -> None:
    """Print a part of a result that comes bit by bit, as it is.

    Raises:
        BrokenPipeError: the reader of stdout has gone.
        SmProxyError: `output-failed`, for example on a full disk.
    """
    _write(text)


def refuse_without_reader() -> None:
    """Raise if the reader of stdout has gone: a command that has nothing to write learns it here.

    Windows does not tell.

    Raises:
        BrokenPipeError: as from a write.
    """
    try:
        descriptor = sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):  # closed, or not a file
        return
    if poll.wait([], [], [descriptor], 0).hung_up:
        raise BrokenPipeError


def envelope(
    command: str, *, data: dict[str, Any] | None, error: SmProxyError | None, ok: bool = True
) -> str:
    """The frozen envelope: `{"sm_proxy": 1, "command", "ok", "data", "error"}`."""
    problem = error and {
        "code": error.code,
        "message": redact(error.message),
        "hint": redact(error.hint),
    }
    return json.dumps(
        {
            "sm_proxy": ENVELOPE_VERSION,
            "command": command,
            "ok": ok and error is None,
            "data": data,
            "error": problem or None,
        }
    )


@contextlib.contextmanager
def status_to_log() -> Iterator[None]:
    """Log the status lines of what runs inside, as `sm_proxy`: stderr belongs to another program.

    Python prints them only if that program asks for this log's level INFO.
    """
    before = INHERITED.logs_status
    INHERITED.logs_status = True
    try:
        yield
    finally:
        INHERITED.logs_status = before


def status(message: str, *, dim: bool = False) -> None:
    """Print a status line on stderr, for example during a wait of more than a second.

    Args:
        message: one line; a terminal gets it wrapped.
        dim: whether it adds nothing new, and so may be faint.
    """
    words = printable(redact(message))
    if INHERITED.logs_status:
        import logging  # noqa: PLC0415 - ssh does without

        logging.getLogger(_LOG).info("%s", words)
        return
    line = f"{_OURS}{words}"
    if dim or (len(line) > _LEAST_COLUMNS and _stderr_is_terminal()):
        from sm_proxy.local import layout, screen  # noqa: PLC0415 - ssh seldom has such a line

        line = layout.led(words, _OURS, screen.of(sys.stderr), "faint" if dim else None)
    write_to_stderr(line)


def _stderr_is_terminal() -> bool:
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):  # closed
        return False


def write_to_stderr(line: str) -> None:
    """Write one line to stderr; do not fail if nobody reads it."""
    if not line.isascii():
        from sm_proxy.local import screen  # noqa: PLC0415 - ssh does without

        line = screen.of(sys.stderr).shown(line)
    # AttributeError: sys.stderr is None if Python was started with stderr closed.
    with _line_erased(), contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


@dataclass(eq=False)
class Wait:
    """Something that takes time.

    Attributes:
        what: what is waited for, in words; empty to show nothing.
        limit_s: when it ends at the latest, in seconds from `began`; infinite if that is unknown.
        is_call: whether it is a call to AWS: shown if nothing else is waited for.
        covers: whether everything else that is waited for meanwhile belongs to it.
        began: by `time.monotonic`.
    """

    what: str
    limit_s: float = math.inf
    is_call: bool = False
    covers: bool = False
    began: float = 0.0

    def tell(self, what: str, on_status: Callable[[str], None]) -> None:
        """Change what is waited for: in the status line, or as a line where it cannot be rewritten.

        Args:
            what: in words.
            on_status: takes the line.
        """
        if what != self.what:
            self.what = what
            # Not `rewrites`: on a lent terminal, a line would break into a question.
            if not (_DISPLAY.enabled and has_terminal()):
                on_status(what)


class StatusLine(Protocol):
    """What `status_line` has on the terminal. Its methods do not raise."""

    def erase(self) -> None:
        """Erase it; it comes back. Called with `PEN` held."""

    def stop(self, *, erase: bool) -> None:
        """Let it not come back."""


class _Display:
    """Whether this process shows what it waits for."""

    def __init__(self) -> None:
        self.enabled = False
        self.when_waiting: Callable[[], object] | None = None
        self.line: StatusLine | None = None
        self.hidden = 0
        self.waits: list[Wait] = []
        self.is_foreground: Callable[[int], bool] = _is_foreground
        self.echoes: Callable[[int], bool] = _echoes
        self.clock: Callable[[], float] = time.monotonic


@contextlib.contextmanager
def waiting(
    what: str, limit_s: float = math.inf, *, is_call: bool = False, covers: bool = False
) -> Iterator[Wait]:
    """While entered, this is what the process waits for; the arguments are those of `Wait`."""
    wait = Wait(what, limit_s, is_call, covers, _DISPLAY.clock())
    _DISPLAY.waits.append(wait)
    try:
        if _DISPLAY.when_waiting is not None:
            _DISPLAY.when_waiting()
        yield wait
    finally:
        _DISPLAY.waits.remove(wait)


def waits() -> list[Wait]:
    """What is waited for now, in all threads; the newest last."""
    return list(_DISPLAY.waits)


def show_waits(when_waiting: Callable[[], object] | None = None) -> None:
    """From now on, what this process waits for is shown on stderr, by `status_line`.

    Args:
        when_waiting: starts the status line, at the first wait.
    """
    _DISPLAY.enabled, _DISPLAY.when_waiting = True, when_waiting


def put_line(line: StatusLine) -> bool:
    """Take the status line, to erase it when something is written; False if it is not wanted."""
    if not _DISPLAY.enabled or _DISPLAY.line is not None:
        return False
    _DISPLAY.line, _DISPLAY.when_waiting = line, None
    return True


def hide_waits(*, erase: bool = True) -> None:
    """Show no longer what this process waits for.

    Args:
        erase: whether to erase the status line; False if the terminal may be another program's
            by now.
    """
    if _DISPLAY.line is not None:
        _DISPLAY.line.stop(erase=erase)
    _DISPLAY.line, _DISPLAY.enabled, _DISPLAY.when_waiting = None, False, None


@contextlib.contextmanager
def terminal_lent() -> Iterator[None]:
    """While entered, no status line stands on the terminal: a question or a program has it."""
    with _line_erased():
        _DISPLAY.hidden += 1
    try:
        yield
    finally:
        with _line_erased():  # which also ends the silence
            _DISPLAY.hidden -= 1


def is_lent() -> bool:
    """Whether a question, or another program, has the terminal."""
    terminal = _terminal()
    return bool(_DISPLAY.hidden) or (terminal is not None and not _DISPLAY.echoes(terminal))


def rewrites() -> bool:
    """Whether the status line may be rewritten on stderr now."""
    return _DISPLAY.enabled and not is_lent() and has_terminal()


def has_terminal() -> bool:
    """Whether stderr is a terminal that takes a line again, and we are not in the background."""
    try:
        return (terminal := _terminal()) is not None and _DISPLAY.is_foreground(terminal)
    except OSError:  # it is the terminal of another session
        return False


def _terminal() -> int | None:
    """Stderr's descriptor, if it is a terminal on which a line can be rewritten."""
    if os.environ.get("TERM") in _WITHOUT_CURSOR:
        return None
    try:
        return sys.stderr.fileno() if sys.stderr.isatty() else None
    except (AttributeError, OSError, ValueError):  # closed, or not a file
        return None


def set_foreground_test(test: Callable[[int], bool]) -> None:
    """Say how to find out whether we may write on the terminal with this descriptor.

    For a process that works for another one, which has the terminal.
    """
    _DISPLAY.is_foreground = test


def _is_foreground(terminal: int) -> bool:
    return sys.platform == "win32" or os.tcgetpgrp(terminal) == os.getpgrp()


def _echoes(terminal: int) -> bool:
    """False while another program, such as ssh, asks for a passphrase there."""
    if sys.platform == "win32":
        return True
    import termios  # noqa: PLC0415 - ssh seldom waits

    try:
        return bool(termios.tcgetattr(terminal)[3] & termios.ECHO)
    except termios.error:
        return False


_DISPLAY: Final = _Display()


@contextlib.contextmanager
def _line_erased() -> Iterator[None]:
    """While entered, the status line is erased; it comes back with the next second."""
    line = _DISPLAY.line
    if line is None:
        yield
        return
    with PEN:
        line.erase()
        yield


def _write(text: str) -> None:
    """Write to stdout.

    Raises:
        BrokenPipeError: the reader of stdout has gone.
        SmProxyError: `output-failed`, for example on a full disk.
    """
    try:
        with _line_erased():
            _write_encodable(secret_values.strike(text, in_data=True))
    except BrokenPipeError:
        raise
    except OSError as error:
        raise SmProxyError(
            "output-failed",
            f"the result cannot be written to stdout: {error.strerror or error}",
            "Free some space, or redirect the output to another place.",
        ) from None


def _write_encodable(text: str) -> None:
    if not text.isascii():
        from sm_proxy.local import screen  # noqa: PLC0415 - rarely

        # A file or a pipe gets all that its encoding has: a program may read it.
        shown = screen.of(sys.stdout)
        text = shown.shown(text) if screen.is_terminal(sys.stdout) else text
    try:
        sys.stdout.write(text)
    except UnicodeEncodeError:  # a path or a diff
        encoding = sys.stdout.encoding
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
    sys.stdout.flush()
