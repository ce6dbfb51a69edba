"""Print results and status lines: the only module that writes to stdout."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sm_proxy.errors import SmProxyError, printable
from sm_proxy.local import poll, secret_values, waits
from sm_proxy.local.redaction import redact
from sm_proxy.local.threads import INHERITED

if TYPE_CHECKING:
    from sm_proxy.local.screen import Screen

ENVELOPE_VERSION = 1
_LOG: Final = "sm_proxy"
_OURS: Final = "sm-proxy: "

_completers: list[Callable[[str], str]] = []
"""The last one puts the options of this run into the commands of a text."""


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
        text_has_failure: whether the text shows the failure, and what to do: then a terminal that
            gets both does not get it a second time as the last line.
    """

    data: dict[str, Any] = field(default_factory=dict)
    text: str | tuple[str, ...] | Callable[[Screen], str] = ""
    exit_status: int = 0
    failure: SmProxyError | None = None
    text_has_failure: bool = False


@contextlib.contextmanager
def complete_commands(completer: Callable[[str], str]) -> Iterator[None]:
    """Show status lines and sentences as this function returns them; see `help.carried_options`."""
    _completers.append(completer)
    try:
        yield
    finally:
        _completers.pop()


def completed(text: str) -> str:
    """A text of ours, in whose commands the options of this run are put."""
    return _completers[-1](text) if _completers else text


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
    if isinstance(text, tuple):
        return layout.text(tuple(map(completed, text)), shown)
    return text(shown)


def was_seen(result: Result, *, as_json: bool) -> bool:
    """Whether a result that was rendered has shown its failure to who reads stderr."""
    from sm_proxy.local import screen  # noqa: PLC0415 - ssh does without

    terminals = all(map(screen.is_terminal, (sys.stdout, sys.stderr)))
    return result.text_has_failure and terminals and not as_json


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
    words = printable(redact(completed(message)))
    if INHERITED.logs_status:
        import logging  # noqa: PLC0415 - ssh does without

        logging.getLogger(_LOG).info("%s", words)
        return
    line = f"{_OURS}{words}"
    if dim or _is_long(line):
        from sm_proxy.local import layout, screen  # noqa: PLC0415 - ssh seldom has such a line

        line = layout.led(words, _OURS, screen.of(sys.stderr), "faint" if dim else None)
    write_to_stderr(line)


def _is_long(line: str) -> bool:
    """Whether a terminal may break the line; `screen` and `layout` tell where."""
    most = len(line) if line.isascii() else 2 * len(line)
    try:
        if not sys.stderr.isatty():
            return False
        return "COLUMNS" in os.environ or most > os.get_terminal_size(sys.stderr.fileno()).columns
    except OSError:  # no size is known
        return True
    except (AttributeError, ValueError):  # closed
        return False


def write_to_stderr(line: str) -> None:
    """Write one line to stderr; do not fail if its reader has gone."""
    if not line.isascii():
        from sm_proxy.local import screen  # noqa: PLC0415 - ssh does without

        line = screen.of(sys.stderr).shown(line)
    # AttributeError: sys.stderr is None if Python was started with stderr closed.
    with waits.line_erased(), contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


def leave_stderr() -> None:
    """Give up what stderr cannot take: Python would try once more, and end with status 120."""
    try:
        sys.stderr.flush()
    except AttributeError:  # there is none
        pass
    except (OSError, ValueError):
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - stays open


def _write(text: str) -> None:
    """Write to stdout.

    Raises:
        BrokenPipeError: the reader of stdout has gone.
        SmProxyError: `output-failed`, for example on a full disk.
    """
    try:
        with waits.line_erased():
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
