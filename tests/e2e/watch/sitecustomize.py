"""Records what audited commands spawn and write. Every Python that they start loads this module.

Python's audit events (PEP 578) report each process it starts, with arguments and environment, and
each file it opens. This module writes a JSON line for each to the file SM_PROXY_TEST_WATCH.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping

_LOG = os.environ["SM_PROXY_TEST_WATCH"]
_WRITING = os.O_WRONLY | os.O_RDWR
_SPAWNS = {"subprocess.Popen", "os.exec", "os.posix_spawn", "os.system", "os.spawn", "os.startfile"}


def _note(kind: str, *what: object) -> None:
    line = json.dumps([kind, *what], default=str) + "\n"
    handle = os.open(_LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(handle, line.encode())
    os.close(handle)


def _watch(event: str, args: tuple[object, ...]) -> None:
    if event in _SPAWNS:
        _note("spawn", event, list(map(_plain, args)))
    elif event == "open" and isinstance(args[2], int) and args[2] & _WRITING and args[0] != _LOG:
        _note("write", _plain(args[0]))


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, (list, tuple)):
        return list(map(_plain, value))
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(item) for key, item in value.items()}
    return value


def _break_at_the_worst_moment() -> None:
    """Simulate a bug of ours whose message is the token."""
    from sm_proxy.routes import session_api

    def broken(answer: dict[str, str]) -> None:
        raise KeyError(answer["TokenValue"])

    session_api._grant = broken  # type: ignore[assignment]


_note("start", sys.orig_argv, dict(os.environ))
sys.addaudithook(_watch)
if os.environ.get("SM_PROXY_TEST_BUG"):
    _break_at_the_worst_moment()
