"""The whole error policy: an expected error is one line, a bug is a report file.

An expected error ends in `sm-proxy: <code>: <what, why, next step>` as the last line on stderr. The
state folder keeps the line too, because editors and ControlPersist hide stderr. Any other exception
is our bug: its traceback goes to a file, never to the terminal. Everything is redacted first: a
service that refuses a signature repeats the whole request, including the session token.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from sm_proxy import __version__
from sm_proxy.errors import (
    EXIT_BUG,
    EXIT_EXPECTED,
    EXIT_INTERRUPTED,
    EXIT_USAGE,
    SmProxyError,
    printable,
)
from sm_proxy.local import output, paths, private_files, secret_values
from sm_proxy.local.redaction import redact
from sm_proxy.local.signals import Hangup
from sm_proxy.local.threads import Background

ERROR_FILE: Final = "SM_PROXY_ERROR_FILE"
"""The variable through which a command that runs ssh learns why its ProxyCommand failed.

It names a file, into which the ProxyCommand writes code, message and hint. The command does not
read them from stderr, because code in the job can write to stderr.
"""
_ERRORS: Final = "errors.jsonl"
_REPORTS: Final = 20
"""How many reports are kept at most."""
_NO_THREAD: Final = "can't start new thread"
"""CPython's words (_threadmodule.c)."""
_PAIR: Final = re.compile(r"\A((?:--[\w-]+=)?[^-=][^=]*=).*", re.DOTALL)
_HIDDEN: Final = rf"\1{secret_values.REDACTED}"
_DISK_S: Final = 2.0
"""How long to wait for the disk when a record or a report is written."""


def run_guarded(command: str, action: Callable[[], int], *, as_json: bool = False) -> int:
    """Run `action`, report what it raises, and return the exit status."""
    try:
        return action()
    except SmProxyError as error:
        if error.code == "output-failed":  # flushing stdout at exit would fail again
            _silence_stdout()
        _report_error(command, error, as_json=as_json)
        return _exit_status(error)
    except (KeyboardInterrupt, Hangup):
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        _silence_stdout()
        return EXIT_EXPECTED
    except Exception as error:  # noqa: BLE001 - every bug ends here
        if explained := _of_this_machine(error):
            _report_error(command, explained, as_json=as_json)
            return EXIT_EXPECTED
        report_bug_now(command, error, as_json=as_json)
        return EXIT_BUG


def _of_this_machine(error: Exception) -> SmProxyError | None:
    """The error for what is wrong with this machine, not with our code; else None."""
    if isinstance(error, RuntimeError) and str(error) == _NO_THREAD:
        return SmProxyError(
            "unsupported",
            "this machine cannot start more threads",
            "End some programs, or raise the limit (`ulimit -u`).",
        )
    return _missing_package(error)


def _missing_package(error: Exception) -> SmProxyError | None:
    """The error for a dependency that has been removed; None for any other exception."""
    name = (error.name or "") if isinstance(error, ModuleNotFoundError) else ""
    if name.partition(".")[0] in {"", "sm_proxy", "sm_proxy_lab", *sys.stdlib_module_names}:
        return None
    from sm_proxy.local import installation  # noqa: PLC0415 - only after this failure

    return SmProxyError(
        "missing-dependency",
        f"the package {name} is missing from {sys.executable}",
        installation.reinstall(),
    )


def redacted(error: SmProxyError) -> SmProxyError:
    """The error without secrets and control characters."""
    message, hint = (printable(redact(text)) for text in (error.message, error.hint))
    return SmProxyError(error.code, message, hint)


def report_last_line(command: str, error: SmProxyError) -> int:
    """Print a command's failure as the last line and save it; return the exit status."""
    if not error.reported:
        _print_line(error)
    if not error.kept:
        _save(command, error)
    return _exit_status(error)


def _exit_status(error: SmProxyError) -> int:
    return EXIT_USAGE if error.code == "usage" else EXIT_EXPECTED


def report_now(error: SmProxyError) -> None:
    """Print the last line before the failure is raised, while stderr is still being read."""
    error.reported = True
    _print_line(error)


def keep_now(command: str, error: SmProxyError) -> None:
    """Save a failure in the state folder before it is raised."""
    error.kept = True
    _save(command, error)


def report_bug_now(command: str, error: Exception, *, as_json: bool = False) -> None:
    """Write the report of a bug and print its path; a second call does nothing."""
    if getattr(error, "reported", False) or _of_this_machine(error):
        return
    setattr(error, "reported", True)  # noqa: B010 - any class of exception
    text = "".join(traceback.format_exception(error))
    written = Background(lambda: report(command, text), or_here=True).settled(_DISK_S)
    where = written or "what you did (no report could be written: the disk does not answer)"
    what = f"{type(error).__name__}, please report it with {where}"
    with contextlib.suppress(OSError, SmProxyError):
        output.render_error(command, SmProxyError("bug", what), as_json=as_json)
    output.write_to_stderr(f"sm-proxy: bug: {what}")
    _hand_over(SmProxyError("bug", what))


def _print_line(error: SmProxyError) -> None:
    cleaned = redacted(error)
    output.write_to_stderr(cleaned.line)
    _hand_over(cleaned)


def _save(command: str, error: SmProxyError) -> None:
    Background(lambda: _write_record(command, redacted(error)), or_here=True).settled(_DISK_S)


def read_handed_over(path: Path) -> SmProxyError | None:
    """The error that our ProxyCommand wrote to the file that ERROR_FILE names; None without one."""
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return SmProxyError(record["code"], record["message"], record["hint"])


def _hand_over(cleaned: SmProxyError) -> None:
    path = os.environ.get(ERROR_FILE)
    if path and Path(path).parent.is_dir():  # without the folder, no command is waiting
        record = {name: getattr(cleaned, name) for name in ("code", "message", "hint")}
        with contextlib.suppress(OSError, SmProxyError):
            private_files.write_whole(Path(path), json.dumps(record).encode())


def _report_error(command: str, error: SmProxyError, *, as_json: bool) -> None:
    try:
        output.render_error(command, redacted(error), as_json=as_json)
    except (OSError, SmProxyError):  # stdout is closed: still print the last line
        _silence_stdout()
    report_last_line(command, error)


def _write_record(command: str, error: SmProxyError) -> None:
    record = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": command,
        "arguments": _own_arguments(),
        "code": error.code,
        "line": error.line,
    }
    with contextlib.suppress(OSError, SmProxyError):
        folder = private_files.ensure_own_dir(paths.state_dir())
        private_files.write_private(
            folder / "last-error.json", json.dumps(record, indent=1).encode()
        )
        from sm_proxy.state.journal import Journal  # noqa: PLC0415 - only after a failure

        Journal(folder / _ERRORS).add(record)


def _own_arguments() -> list[str]:
    """This run's arguments, without what may be secret.

    Those after `--` are another program's, and the VALUE of NAME=VALUE is for one.
    """
    words = sys.argv[1:]
    end = words.index("--") + 1 if "--" in words else len(words)
    others = [f"[{len(words) - end} words]"] if end < len(words) else []
    return [*(redact(_PAIR.sub(_HIDDEN, word)) for word in words[:end]), *others]


def last_errors() -> list[dict[str, Any]]:
    """The last expected errors of all commands, oldest first, as in `last-error.json`."""
    from sm_proxy.state.journal import Journal  # noqa: PLC0415

    with contextlib.suppress(SmProxyError):
        return Journal(paths.state_dir() / _ERRORS).records()
    return []


def report(command: str, trace: str = "") -> Path | str:
    """Write the report of a bug.

    Args:
        command: the command in which it occurred.
        trace: the traceback; by default, that of the exception being handled.

    Returns:
        The report's path, or a text that says why there is none.
    """
    import platform  # noqa: PLC0415 - Python 3.10's needs subprocess

    text = (
        f"sm-proxy {__version__}, Python {platform.python_version()}, {platform.platform()}\n"
        f"command: {command}\n\n{redact(trace or traceback.format_exc())}"
    )
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    try:
        folder = private_files.ensure_own_dir(paths.state_dir() / "reports")
        path = folder / name
        private_files.write_private(path, text.encode(errors="replace"))
        for old in sorted(folder.glob("*.txt"))[:-_REPORTS]:
            old.unlink(missing_ok=True)
    except (OSError, SmProxyError) as error:
        return f"what you did (no report could be written: {printable(str(error))})"
    return path


def _silence_stdout() -> None:
    """Keep Python from printing an error about a closed stdout at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
