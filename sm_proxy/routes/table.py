"""The routes to a container, in the order in which they are tried: one row a route.

A route is a module with the members of `Route`. Whoever connects asks here and names none.
"""

from __future__ import annotations

import contextlib
from typing import Final, Protocol

from sm_proxy.aws.clients import Aws
from sm_proxy.jobs.container import Container
from sm_proxy.routes import bastion
from sm_proxy.settings import Settings
from sm_proxy.tunnel.stream import Stream


class Route(Protocol):
    """What a module of a route offers."""

    @property
    def NAME(self) -> str:  # noqa: N802 - a constant of the module
        """What users call it."""

    def applies(self, settings: Settings, container: Container) -> bool:
        """Whether it can lead to this container; asks nobody and sends nothing."""

    def connect(self, container: Container, port: int, settings: Settings, aws: Aws) -> Stream:
        """Open a stream to the container's port.

        Raises:
            SmProxyError: with the code that fits.
        """

    def end_all(self) -> None:
        """End what this process holds open; from now on nothing is started."""


ROUTES: Final[tuple[Route, ...]] = (bastion,)


def connect(container: Container, port: int, settings: Settings, aws: Aws) -> Stream:
    """Open a stream by the first route that applies; where none does, the first says why.

    Raises:
        SmProxyError: with the code that fits.
    """
    usable = (route for route in ROUTES if route.applies(settings, container))
    return next(usable, ROUTES[0]).connect(container, port, settings, aws)


def end_all() -> None:
    """End what any route holds open; from now on nothing is started."""
    with contextlib.ExitStack() as stack:  # one that fails keeps no other from it
        for route in ROUTES:
            stack.callback(route.end_all)
