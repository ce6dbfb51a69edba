"""The whole error policy: an expected error is one line, a bug is a report file.

Whatever a user can cause ends in `sm-proxy: <code>: <what, why, next step>` as the last line on
stderr, kept in the state folder as well: editors and ControlPersist hide stderr. Anything else is
our bug: its traceback goes to a file, never to the terminal. Everything is redacted first: a
service that refuses a signature repeats the whole request, session token included.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from sm_proxy import __version__
from sm_proxy.errors import EXIT_BUG, EXIT_EXPECTED, EXIT_INTERRUPTED, SmProxyError, printable
from sm_proxy.local import output, paths, private_files
from sm_proxy.local.redaction import redact
from sm_proxy.local.signals import Hangup
from sm_proxy.local.threads import Background

ERROR_FILE: Final = "SM_PROXY_ERROR_FILE"
"""The variable by which a command of ours that runs ssh learns why its ProxyCommand failed.

It names a file for the code and the words: on stderr, whoever runs code in the job could say them.
"""
_ERRORS: Final = "errors.jsonl"
_REPORTS: Final = 20
"""Reports kept at the most."""
_DISK_S: Final = 2.0
"""Nobody waits longer for a disk to take what is only for later."""


def run_guarded(command: str, action: Callable[[], int], *, as_json: bool = False) -> int:
    """Run `action` and turn whatever it raises into an exit status."""
    try:
        return action()
    except SmProxyError as error:
        if error.code == "output-failed":  # what stdout still holds would fail again at exit
            _silence_stdout()
        _tell(command, error, as_json=as_json)
        return EXIT_EXPECTED
    except (KeyboardInterrupt, Hangup):
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        _silence_stdout()
        return EXIT_EXPECTED
    except Exception as error:  # noqa: BLE001 - the last line of defence
        if missing := _missing_package(error):
            _tell(command, missing, as_json=as_json)
            return EXIT_EXPECTED
        report_bug_now(command, error, as_json=as_json)
        return EXIT_BUG


def _missing_package(error: Exception) -> SmProxyError | None:
    """A package of others' that has gone since we were installed; None for what else it is."""
    name = (error.name or "") if isinstance(error, ModuleNotFoundError) else ""
    if name.partition(".")[0] in {"", "sm_proxy", "sm_proxy_lab", *sys.stdlib_module_names}:
        return None
    return SmProxyError(
        "missing-dependency",
        f"the package {name} is missing from {sys.executable}",
        f"{sys.executable} -m pip install --force-reinstall sm-proxy",
    )


def redacted(error: SmProxyError) -> SmProxyError:
    """The same without secrets and control characters."""
    message, hint = (printable(redact(text)) for text in (error.message, error.hint))
    return SmProxyError(error.code, message, hint)


def report_last_line(command: str, error: SmProxyError) -> int:
    """Say the failure of a command as the last line, and keep it; return the exit status."""
    if not error.reported:
        _say(error)
    if not error.kept:
        _keep(command, error)
    return EXIT_EXPECTED


def report_now(error: SmProxyError) -> None:
    """Say the last line of a failure that is still to be raised: afterwards nobody may listen."""
    error.reported = True
    _say(error)


def keep_now(command: str, error: SmProxyError) -> None:
    """Keep a failure that is still to be raised."""
    error.kept = True
    _keep(command, error)


def report_bug_now(command: str, error: Exception, *, as_json: bool = False) -> None:
    """Write the report of a bug and say where it is, once."""
    if getattr(error, "reported", False) or _missing_package(error):
        return
    setattr(error, "reported", True)  # noqa: B010 - it may be of any class
    text = "".join(traceback.format_exception(error))
    written = Background(lambda: report(command, text)).settled(_DISK_S)
    where = written or "what you did (no report could be written: the disk does not answer)"
    what = f"{type(error).__name__}, please report it with {where}"
    with contextlib.suppress(OSError, SmProxyError):
        output.render_error(command, SmProxyError("bug", what), as_json=as_json)
    output.write_to_stderr(f"sm-proxy: bug: {what}")
    _hand_over(SmProxyError("bug", what))


def _say(error: SmProxyError) -> None:
    cleaned = redacted(error)
    output.write_to_stderr(cleaned.line)
    _hand_over(cleaned)


def _keep(command: str, error: SmProxyError) -> None:
    Background(lambda: _remember(command, redacted(error))).settled(_DISK_S)


def read_handed_over(path: Path) -> SmProxyError | None:
    """What a ProxyCommand of ours has left in the file that ERROR_FILE named, if it failed."""
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return SmProxyError(record["code"], record["message"], record["hint"])


def _hand_over(cleaned: SmProxyError) -> None:
    path = os.environ.get(ERROR_FILE)
    if path and Path(path).parent.is_dir():  # nobody waits any more where it is gone
        record = {name: getattr(cleaned, name) for name in ("code", "message", "hint")}
        with contextlib.suppress(OSError, SmProxyError):
            private_files.write_whole(Path(path), json.dumps(record).encode())


def _tell(command: str, error: SmProxyError, *, as_json: bool) -> None:
    try:
        output.render_error(command, redacted(error), as_json=as_json)
    except (OSError, SmProxyError):  # nobody reads stdout: the last line is still worth saying
        _silence_stdout()
    report_last_line(command, error)


def _remember(command: str, error: SmProxyError) -> None:
    record = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": command,
        "arguments": list(map(redact, sys.argv[1:])),
        "code": error.code,
        "line": error.line,
    }
    with contextlib.suppress(OSError, SmProxyError):
        folder = private_files.ensure_own_dir(paths.state_dir())
        private_files.write_private(
            folder / "last-error.json", json.dumps(record, indent=1).encode()
        )
        from sm_proxy.state.journal import Journal  # noqa: PLC0415 - only where something failed

        Journal(folder / _ERRORS).add(record)


def last_errors() -> list[dict[str, Any]]:
    """The last expected errors of every command, oldest first, as in `last-error.json`."""
    from sm_proxy.state.journal import Journal  # noqa: PLC0415

    with contextlib.suppress(SmProxyError):
        return Journal(paths.state_dir() / _ERRORS).records()
    return []


def report(command: str, trace: str = "") -> Path | str:
    """Write the report of a bug, the one at hand unless given: its path, or why there is none."""
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
    """Keep the interpreter from complaining about a closed stdout at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
