"""The session gateway: the service and the agent side of the SSM data channel in one process."""

from __future__ import annotations

from typing import Final

TUNNELS: Final = "tunnels.sock"
"""The name of the unix socket that takes clients over, beside the control socket."""
