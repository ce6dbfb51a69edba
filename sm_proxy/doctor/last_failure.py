"""The last recorded failure: editors and ControlPersist hide the lines that ssh prints."""

from __future__ import annotations

import calendar
import time
from typing import Any, Final

from sm_proxy import error_handler
from sm_proxy.doctor.check import Context, SkipCheck
from sm_proxy.jobs import times
from sm_proxy.state import connection_log

NAME: Final = "last-failure"
"""The id of this check."""


def failure(context: Context) -> str:
    """The last failed connection to the host, else the last failed command, with its age."""
    if context.host and (found := _connection(context.host)):
        return found
    for record in reversed(error_handler.last_errors()):
        # Left out: an earlier finding of doctor, and a usage error, which the user has seen.
        if record.get("command") == "doctor" or record.get("code") == "usage":
            continue
        if found := _message(record, f" (sm-proxy {record.get('command', '?')})"):
            return found
    raise SkipCheck("no failure is recorded")


def _connection(host: str) -> str | None:
    records = connection_log.recent(host)
    at = next((number for number, record in enumerate(records) if record.failed), None)
    if at is None:
        return None
    failed, since = records[at], sum(record.code == connection_log.OK for record in records[:at])
    session = f"session {failed.session}, " if failed.session else ""
    through = f" ({session}through {failed.through})" if failed.through else ""
    counted = "1 connection" if since == 1 else f"{since} connections"
    well = f"; {counted} since then succeeded" if since else ""
    return _message({"time": failed.time, "line": failed.line or failed.code}, through + well)


def _message(record: dict[str, Any], more: str) -> str | None:
    try:
        at = calendar.timegm(time.strptime(record["time"], "%Y-%m-%dT%H:%M:%SZ"))
        line = str(record["line"]).removeprefix("sm-proxy: ")
    except (ValueError, KeyError, TypeError):
        return None
    return f"{times.in_words(time.time() - at)} ago: {line}{more}"
