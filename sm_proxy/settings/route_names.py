"""The names of the routes, in the order in which they are tried: one row per route.

A row `remote-debug` needs the module `routes/remote_debug.py`.
"""

from __future__ import annotations

from typing import Final

AUTO: Final = "auto"
"""Not a route: the first one that can serve is taken."""
ROUTE_NAMES: Final[tuple[str, ...]] = (
    # If none can serve, the user sees the error of the first one that has one.
    "direct",
    "bastion",
    "remote-debug",
    "bastion-ssh",
    "instance-connect",
)
