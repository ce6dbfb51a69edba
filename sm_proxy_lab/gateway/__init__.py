"""The session gateway: the service and the agent side of the SSM data channel in one process."""

from __future__ import annotations

from typing import Final

SPACE: Final = "sagemaker-space:"
"""The target of a session to a Studio space begins so; only the lab's own parts see it."""
SPACE_PORT: Final = "2222"
"""Where a space's own ssh server listens (assumed: it is so in AWS's HyperPod spaces)."""

TUNNELS: Final = "tunnels.sock"
"""The name of the unix socket that takes clients over, beside the control socket."""
