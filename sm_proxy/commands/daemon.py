"""`sm-proxy daemon`: shows and ends the process that makes a second ssh cheap."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, Final

from sm_proxy.commands import options
from sm_proxy.errors import EXIT_OK, printable
from sm_proxy.local import layout
from sm_proxy.local.output import Result
from sm_proxy.local.screen import Screen
from sm_proxy.settings import Settings, durations

_ISO: Final = "%Y-%m-%dT%H:%M:%SZ"

DESCRIPTION: Final = (
    "Shows or ends the background process that makes a second ssh faster. It starts with ssh,"
    " and ends by itself when it was idle."
)
EXAMPLES: Final = (
    ("sm-proxy daemon status", "its connections and sessions"),
    ("sm-proxy daemon stop", "end them all"),
)
USES: Final = ()

_HELP: Final[dict[str, dict[str, Any]]] = {
    "status": {
        "help": "show the daemon, its connections and the sessions that it keeps",
        "description": "Shows the daemon, its connections, and the sessions that it keeps for the"
        " next ssh.",
        "examples": (("sm-proxy daemon status", "does it run, and for whom"),),
        "uses": (),
    },
    "stop": {
        "help": "end the daemon, its connections and its sessions",
        "description": "Ends the daemon, its connections and its sessions. The next ssh starts a"
        " new one; daemon_idle = 0 switches it off.",
        "examples": (("sm-proxy daemon stop", "ssh that uses it ends, too"),),
        "uses": (),
    },
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`daemon status|stop [--json]`."""
    actions = parser.add_subparsers(metavar="ACTION", required=True, dest="action")
    for name, shown in _HELP.items():
        options.add_json(actions.add_parser(name, **shown))
    for name in _HIDDEN:
        actions.add_parser(name)


def run(args: argparse.Namespace, settings: Settings) -> Result | int:
    """Run the action.

    Data of `status`: `{"daemons": [...]}`, with the fields of `daemon.status.Status` and `socket`;
    times are ISO 8601, UTC, durations seconds. Data of `stop`: `{"stopped": [pid, ...]}`.

    Raises:
        SmProxyError: `busy`, a daemon does not answer or end; `bad-permissions`, another user may
            be behind its socket.
    """
    if sys.platform == "win32":
        empty: dict[str, list[Any]] = {"status": {"daemons": []}, "stop": {"stopped": []}}
        return Result(
            empty.get(args.action, {}), "no daemon: each ssh does its own work on Windows"
        )
    return _ACTIONS[args.action](settings)


def _status(settings: Settings) -> Result:
    from sm_proxy.daemon import control  # noqa: PLC0415 - not on Windows

    found = list(control.running())
    if not found:
        control.refuse_stranger()
    data = [{"socket": each.socket, **_with_dates(asdict(each.status))} for each in found]
    rows = [row for each in data for row in _rows(each)]
    return Result({"daemons": data}, partial(_text, rows) if rows else (_why_none(settings),))


def _text(rows: Sequence[tuple[str, str]], screen: Screen) -> str:
    return "\n".join(layout.pairs(rows, screen))


def _stop(_: Settings) -> Result:
    from sm_proxy.daemon import control  # noqa: PLC0415 - not on Windows

    stopped = []
    for each in control.running(resume=True):
        control.stop(each)
        stopped.append(each.status.pid)
    control.tidy()
    if not stopped:
        control.refuse_stranger()
    text = "\n".join(f"daemon {pid} has ended" for pid in stopped)
    return Result({"stopped": stopped}, text or "no daemon runs")


def _serve(settings: Settings) -> int:
    """Run the daemon; the first `connect` starts it."""
    if sys.platform == "darwin":
        return _serve_by_spares(settings)
    from sm_proxy import cli  # noqa: PLC0415 - a fork of the daemon runs a command line
    from sm_proxy.daemon import entry  # noqa: PLC0415 - not on Windows

    if not settings.daemon_idle:
        return EXIT_OK
    return entry.serve(settings.daemon_idle, cli.main, lambda: cli.prepare("connect"))


def _serve_by_spares(settings: Settings) -> int:
    """Run the daemon with spare processes instead of forks: on macOS; elsewhere, for tests."""
    from sm_proxy import cli  # noqa: PLC0415 - see above
    from sm_proxy.daemon import entry, starting  # noqa: PLC0415 - as above

    if not settings.daemon_idle:
        return EXIT_OK
    spare = [*starting.program(), "daemon", "spare"]
    return entry.serve(settings.daemon_idle, cli.main, lambda: None, spare)


def _spare(_: Settings) -> int:
    """Run a spare process, which waits for a job of the daemon."""
    from sm_proxy import cli  # noqa: PLC0415 - see above
    from sm_proxy.daemon import entry  # noqa: PLC0415 - as above

    return entry.be_spare(cli.main, lambda: cli.prepare("connect"))


def _why_none(settings: Settings) -> str:
    from sm_proxy.daemon import control  # noqa: PLC0415 - not on Windows

    if why := control.hindrance(settings):
        return f"no daemon runs, and {why} keeps ssh from starting one"
    return "no daemon runs; the next ssh starts one"


def _with_dates(found: dict[str, Any]) -> dict[str, Any]:
    """The same with each `since` as a date."""
    for each in (found, *found["connections"], *found["sessions"]):
        each["since"] = time.strftime(_ISO, time.gmtime(each["since"]))
    return found


def _rows(daemon: dict[str, Any]) -> list[tuple[str, str]]:
    """A daemon for people."""
    ends = _ending(daemon["ends_in"])
    about = f"{daemon['pid']}, sm-proxy {daemon['version']}, since {daemon['since']}{ends}"
    rows = [("daemon", about), ("  socket", daemon["socket"])]
    for each in daemon["connections"]:
        what = f"{printable(each['host'])}, since {each['since']}, process {each['pid']}"
        rows.append(("  connection", what))
    for each in daemon["sessions"]:
        shown = f"{printable(each['target'])}, since {each['since']}"
        rows.append(("  session", f"{each['session']}: {shown}{_use(each)}"))
    return rows


def _use(session: dict[str, Any]) -> str:
    """What a session is kept for."""
    if session["streams"]:
        return f", {session['streams']} connection(s)"
    return _ending(session["ends_in"]) or ", opened ahead"


def _ending(seconds: float | None) -> str:
    return "" if seconds is None else f", ends in {durations.form(round(seconds))}"


_HIDDEN: Final[dict[str, Callable[[Settings], int]]] = {
    "serve": _serve,
    "serve-by-spares": _serve_by_spares,
    "spare": _spare,
}
"""The daemon's own processes: nobody types these."""
_ACTIONS: Final[dict[str, Callable[[Settings], Result | int]]] = {
    **_HIDDEN,
    "status": _status,
    "stop": _stop,
}
