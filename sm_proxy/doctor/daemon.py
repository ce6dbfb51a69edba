"""The daemon that makes a second ssh cheap. ssh works without it, only slower."""

from __future__ import annotations

import sys

from sm_proxy import __version__
from sm_proxy.doctor.check import Context, SkipCheck


def healthy(context: Context) -> str:
    """The daemon answers, or the next ssh can start it.

    Raises:
        SkipCheck: Windows has none.
        SmProxyError: `busy`, it does not answer, and each ssh waits a second for it;
            `bad-permissions`, another user may be behind its socket.
    """
    if sys.platform == "win32":
        raise SkipCheck("there is none on Windows")
    if not context.settings.daemon_idle:
        return "switched off (daemon_idle = 0)"
    from sm_proxy.daemon import control  # noqa: PLC0415 - not on Windows

    control.refuse_stranger()
    others = []
    for found in control.running():
        told = found.status
        if found.is_ours:
            work = f"connections: {len(told.connections)}, sessions: {len(told.sessions)}"
            return f"process {told.pid} answers; {work}"
        others.append(told.version)
    beside = f", besides the daemon of sm-proxy {', '.join(others)}" if others else ""
    none = f"no daemon of sm-proxy {__version__} runs"
    if why := control.hindrance(context.settings):
        return f"{none}, and {why} keeps ssh from starting one{beside}"
    return f"{none}; the next ssh starts one{beside}"
