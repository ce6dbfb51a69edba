"""The routes to a container, in the order in which they are tried: one row per route.

A route is a module with the members of `Route`. Callers ask this table and name no route.
"""

from __future__ import annotations

from typing import Final, Protocol

from sm_proxy.aws.clients import Aws
from sm_proxy.jobs.container import Container
from sm_proxy.routes import (
    bastion,
)
from sm_proxy.settings import Settings
from sm_proxy.tunnel.stream import Stream


class Route(Protocol):
    """The members of a route's module."""

    @property
    def NAME(self) -> str:  # noqa: N802 - a constant of the module
        """The name that users know."""

    def applies(self, settings: Settings, container: Container) -> bool:
        """Whether this route can lead to the container; makes no call and sends no packet."""

    def connect(self, container: Container, settings: Settings, aws: Aws) -> Stream:
        """Open a stream to the container's port.

        A route that starts an SSM session does so through `sessions.SESSIONS`, which ends it when
        the process ends early.

        Raises:
            SmProxyError: with the code that fits.
        """


ROUTES: Final[tuple[Route, ...]] = (
    bastion,  # first: its error tells the user why no route applies
)


def connect(container: Container, settings: Settings, aws: Aws) -> Stream:
    """Open a stream by the first route that applies.

    If no route applies, the first one is tried, for its error.

    Raises:
        SmProxyError: with the code that fits.
    """
    usable = (route for route in ROUTES if route.applies(settings, container))
    return next(usable, ROUTES[0]).connect(container, settings, aws)
