"""Choose the route to a container, and connect by it.

A route is a module with the members of `Route`, named like its row in `settings/route_names.py`. It
is imported when it is asked, so that a connection by the first one pays for no other. Callers ask
this table and name no route.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, cast

from sm_proxy.aws.clients import Aws
from sm_proxy.errors import Code, SmProxyError
from sm_proxy.jobs.container import Container
from sm_proxy.local import debug_log, output, threads
from sm_proxy.routes.verdict import Verdict
from sm_proxy.settings import Settings
from sm_proxy.settings.route_names import AUTO, ROUTE_NAMES
from sm_proxy.tunnel.stream import Stream


class Route(Protocol):
    """The members of a route's module."""

    @property
    def MENDABLE(self) -> frozenset[Code]:  # noqa: N802 - a constant of the module
        """Errors of `connect`, and of its stream before the first byte, that others may avoid."""

    def verdict(self, container: Container, settings: Settings, aws: Aws) -> Verdict:
        """Whether the route can serve the container, from this machine and now.

        It sends no packet to the container. It asks AWS only through caches. It may block.

        Raises:
            SmProxyError: no route can serve, such as `no-credentials`.
        """

    def connect(self, container: Container, settings: Settings, aws: Aws) -> Stream:
        """Open a stream to the container's port.

        A route that starts an SSM session does so with `ssm_session.open_session`, which ends it
        when the process ends early.

        Raises:
            SmProxyError: with the code that fits.
        """


@dataclass(frozen=True)
class Choice:
    """What is known about the routes to a container.

    Attributes:
        route: the one that a connection would take; None if none can serve.
        verdicts: of each route, in the order in which they are tried.
    """

    route: str | None
    verdicts: Mapping[str, Verdict]


def route(name: str) -> Route:
    """The module of a route."""
    return cast("Route", importlib.import_module(f"sm_proxy.routes.{name.replace('-', '_')}"))


def judge(container: Container, settings: Settings, aws: Aws) -> Choice:
    """The verdicts of all routes; nothing is sent to the container."""

    def verdict(name: str) -> Verdict:
        try:
            return threads.run(route(name).verdict, container, settings, aws)
        except SmProxyError as error:
            return Verdict.refused(error)

    verdicts = {name: verdict(name) for name in ROUTE_NAMES}
    allowed = _allowed(settings)
    chosen = next((name for name in allowed if verdicts[name].usable), None)
    return Choice(chosen, verdicts)


def connect(container: Container, settings: Settings, aws: Aws) -> Stream:
    """Open a stream by the first route that can serve.

    If a route fails for a reason that another one may avoid, the next one is tried, and the user is
    told so in one line.

    Raises:
        SmProxyError: `route-unusable`, the forced route cannot serve; else the first route's error.
    """
    first: SmProxyError | None = None
    for name in _allowed(settings):
        module = route(name)
        verdict = threads.run(module.verdict, container, settings, aws)
        debug_log.write(f"route {name}", usable=verdict.usable, why=verdict.reason)
        if not verdict.usable:
            if settings.route != AUTO:
                raise _unusable(name, verdict)
            first = first or verdict.error
            continue
        if first is not None:
            output.status(f"{first.message}; trying the route {name}")
        try:
            return module.connect(container, settings, aws)
        except SmProxyError as error:
            if not (error.mendable or error.code in module.MENDABLE):
                raise
            first = first or error
    raise first or SmProxyError(
        "route-unusable",
        f"no route leads to the container of {container.host}",
        "See: sm-proxy doctor",
    )


def _allowed(settings: Settings) -> tuple[str, ...]:
    return ROUTE_NAMES if settings.route == AUTO else (settings.route,)


def _unusable(name: str, verdict: Verdict) -> SmProxyError:
    hint = verdict.error.hint if verdict.error else ""
    return SmProxyError(
        "route-unusable",
        f"the route {name} cannot serve: {verdict.reason}",
        hint or "Leave out --route (SM_PROXY_ROUTE) to take the best route that can serve.",
    )
