"""The route through RemoteDebug: the agent in the container, and the role that it connects with."""

from __future__ import annotations

from typing import Final

from sm_proxy.doctor import remote_debug
from sm_proxy.doctor.routes import RouteChecks

CHECKS: Final = RouteChecks(
    examine_for_job=(
        ("remote-debug", remote_debug.agent),
        ("remote-debug-role", remote_debug.role),
    ),
)
