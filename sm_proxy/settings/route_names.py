"""The names of the routes, in the order in which they are tried: one row per route.

A row `remote-debug` needs the module `routes/remote_debug.py`.
"""

from __future__ import annotations

from typing import Final

AUTO: Final = "auto"
"""Not a route: the first usable one is taken."""
ROUTE_NAMES: Final[tuple[str, ...]] = (
    # If none is usable, the user sees the error of the first one that has one.
    "direct",
    "bastion",
    "remote-debug",
    "bastion-ssh",
    "instance-connect",
    # Each of these serves one kind.
    "space",
    "hyperpod",
)
_OF_KINDS: Final[dict[str, tuple[str, ...]]] = {"space": ("space",), "hyperpod": ("hyperpod",)}
"""Kinds that have routes of their own, and no others."""
_OF_JOBS: Final = tuple(
    name for name in ROUTE_NAMES if not any(name in own for own in _OF_KINDS.values())
)


def routes_of(kind: str) -> tuple[str, ...]:
    """The routes that may lead to a container of that kind, in the order of `ROUTE_NAMES`."""
    return _OF_KINDS.get(kind, _OF_JOBS)
