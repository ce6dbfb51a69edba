"""Choose the route to a container, and connect by it.

A route is a module with the members of `Route`, named like its row in `settings/route_names.py`. It
is imported when it is asked, so that a connection by the first one pays for no other. Callers ask
this table for a stream, and choose no route.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, cast

from sm_proxy.aws.clients import Aws
from sm_proxy.errors import Code, SmProxyError, printable
from sm_proxy.jobs.container import Container
from sm_proxy.local import debug_log, output, threads, waits
from sm_proxy.routes import memory
from sm_proxy.routes.verdict import Verdict
from sm_proxy.settings import Settings
from sm_proxy.settings.route_names import AUTO, routes_of
from sm_proxy.tunnel.stream import Stream

_PROBED: Final = "direct"
"""The route that can find out by itself that it is usable, with a packet to the container."""


class Route(Protocol):
    """The members of a route's module."""

    @property
    def MENDABLE(self) -> frozenset[Code]:  # noqa: N802 - a constant of the module
        """Errors of `connect`, and of its stream before the first byte, that others may avoid.

        An error that names the network (`SmProxyError.mendable`) need not be here.
        """

    @property
    def DIALS_FROM(self) -> str:  # noqa: N802
        """The machine that dials the container: routes with the same one share its network."""

    def verdict(self, container: Container, settings: Settings, aws: Aws) -> Verdict:
        """Whether the route is usable for the container, from this machine and now.

        It sends no packet to the container. It asks AWS only through caches. It may block.

        Raises:
            SmProxyError: no route is usable, such as `no-credentials`.
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
        route: the one that a connection would take; None if none is usable.
        verdicts: of each route, in the order in which they are tried.
    """

    route: str | None
    verdicts: Mapping[str, Verdict]

    def as_data(self) -> dict[str, Any]:
        """The members `route` and `routes` of the `resolve` command's data."""
        return {
            "route": self.route,
            "routes": [
                {"name": name, "usable": found.usable, "reason": printable(found.reason)}
                for name, found in self.verdicts.items()
            ],
        }


def route(name: str) -> Route:
    """The module of a route."""
    return cast("Route", importlib.import_module(f"sm_proxy.routes.{name.replace('-', '_')}"))


def judge(container: Container, settings: Settings, aws: Aws) -> Choice:
    """The verdicts of all routes, confirmed by AWS; nothing is sent to the container."""

    def verdict(name: str) -> Verdict:
        try:
            found = _verdict(name, container, settings, aws)
            return found if found.confirm is None else threads.run(found.confirm)
        except SmProxyError as error:
            return Verdict.refused(error)

    tried = memory.order(container, aws, routes_of(container.kind))
    verdicts = _with_memory({name: verdict(name) for name in tried}, container, aws)
    allowed = verdicts if settings.route == AUTO else (settings.route,)
    usable = [name for name, found in verdicts.items() if found.usable]
    return Choice(next((name for name in allowed if name in usable), None), verdicts)


def _with_memory(
    verdicts: dict[str, Verdict], container: Container, aws: Aws
) -> dict[str, Verdict]:
    """The verdicts; where a better route is tried after the remembered one, it says why."""
    tried, preferred = list(verdicts), memory.recall(container, aws)
    if preferred not in verdicts:
        return verdicts
    names = routes_of(container.kind)
    better = set(names[: names.index(preferred)])
    for name in tried[tried.index(preferred) :]:
        if name in better and (found := verdicts[name]).usable:
            why = f"; but {preferred} is tried first: it worked in this network after others failed"
            verdicts[name] = replace(found, reason=found.reason + why)
    return verdicts


def discovers(container: Container, settings: Settings, aws: Aws) -> bool:
    """Whether a probe finds the container, where no route is usable; then `judge` knows it, too."""
    if settings.route not in {AUTO, _PROBED} or _PROBED not in routes_of(container.kind):
        return False
    stream = _discovered(container, settings, aws)
    if stream is not None:
        stream.close()
    return stream is not None


def connect(container: Container, settings: Settings, aws: Aws) -> Stream:
    """Open a stream by the first usable route, or by the one that the settings force.

    If a route fails for a reason that another one may avoid, the next one is tried, and one line
    says so. The stream, too, may change to the next route until its first byte. If none is usable,
    a probe may find the container: nothing identifies a VPN or a peering.

    Raises:
        SmProxyError: `route-unusable`, the forced route is unusable; else the first route's error.
    """
    if settings.route == AUTO:
        return _Attempts(container, settings, aws).connect()
    verdict = _verdict(settings.route, container, settings, aws)
    if verdict.usable:
        return route(settings.route).connect(container, settings, aws)
    found = None
    if settings.route == _PROBED and _PROBED in routes_of(container.kind):
        found = _discovered(container, settings, aws)
    if found is None:
        raise unusable(settings.route, verdict)
    return found


def unusable(name: str, verdict: Verdict) -> SmProxyError:
    """The error for a forced route that is not usable."""
    hint = verdict.error.hint if verdict.error else ""
    return SmProxyError(
        "route-unusable",
        f"the route {name} does not work here: {verdict.reason}",
        hint
        or "To let sm-proxy choose the route, leave out --route, SM_PROXY_ROUTE and `route` in "
        "config.toml. For ssh to a prefix: sm-proxy config write --route auto",
    )


class _Attempts:
    """The routes of one connection: each is tried once, until one serves."""

    def __init__(self, container: Container, settings: Settings, aws: Aws) -> None:
        self._asked = (container, settings, aws)
        self._remembered = memory.recall(container, aws)
        self._left = memory.order(container, aws, routes_of(container.kind))
        self._names: dict[int, str] = {}
        self._errors: list[tuple[str, SmProxyError]] = []
        self._tried = {_PROBED} - set(routes_of(container.kind))

    def connect(self) -> Stream:
        """Open a stream that goes over to the next route if one fails before the first byte.

        Raises:
            SmProxyError: no other one may avoid the error; or none is left: the first error.
        """
        stream = self.connect_next()
        if not self._left and not self._errors and _PROBED in self._tried:
            return stream
        from sm_proxy.tunnel.fallback import (  # noqa: PLC0415 - while the tunnel comes up
            FallbackStream,
        )

        return FallbackStream(stream, self)

    def connect_next(self) -> Stream:
        """A stream by the next usable route.

        Raises:
            SmProxyError: as `connect`.
        """
        while self._left:
            name = self._left.pop(0)
            verdict = self._verdict(name)
            if not verdict.usable:
                if verdict.error is not None:
                    self._errors.append((name, verdict.error))
                continue
            self._report(name)
            self._tried.add(name)
            try:
                with waits.waiting(f"connecting to {self._asked[0].host} by {name}"):
                    stream = route(name).connect(*self._asked)
            except SmProxyError as error:
                if not self._note(name, error):
                    raise
            else:
                self._names[id(stream)] = name
                return stream
        return self._discovered()

    def _discovered(self) -> Stream:
        """A stream that only a probe can find, once no route is usable.

        Raises:
            SmProxyError: there is none: the first route's error.
        """
        first = self._first_error()
        if _PROBED in self._tried:
            raise first
        self._tried.add(_PROBED)
        stream = _discovered(*self._asked)
        if stream is None:
            raise first
        self._report(_PROBED)
        self._names[id(stream)] = _PROBED
        return stream

    def _report(self, name: str) -> None:
        """Print in one line why this route is tried, if others are not usable."""
        if self._errors:
            output.status(f"{self._cause().message}; connecting by {name} instead")

    def connect_elsewhere(self, silent: Stream) -> Stream | None:
        """A stream by a route that dials the container from elsewhere; None if none is usable."""
        container, _, _ = self._asked
        name = self._names[id(silent)]
        if all(route(other).DIALS_FROM == route(name).DIALS_FROM for other in self._left):
            return None
        what = f"nothing answers at {container.place} by {name}"
        self._note(name, SmProxyError("sshd-silent", what, mendable=True))
        try:
            return self.connect_next()
        except SmProxyError as failure:
            debug_log.write("no other route works", why=failure.message)
            return None

    def may_avoid(self, stream: Stream, failure: Exception) -> bool:
        """Whether another route may avoid the failure of a stream."""
        return self._note(self._names[id(stream)], failure)

    def has_served(self, stream: Stream) -> None:
        """Prefer a route next time that served where one before it could not."""
        container, _, aws = self._asked
        name = self._names[id(stream)]
        names = routes_of(container.kind)
        before = names[: names.index(name)]
        failed = [other for other, _ in self._errors if other in before]
        if failed:
            memory.remember(container, aws, name, instead_of=failed)

    def _verdict(self, name: str) -> Verdict:
        """The verdict of a route; if another one has an error, that one matters more than ours."""
        try:
            return _verdict(name, *self._asked)
        except SmProxyError as error:
            if not self._errors:
                raise
            debug_log.write(f"route {name} cannot be judged", code=error.code, why=error.message)
            return Verdict.refused(error)

    def _note(self, name: str, error: Exception) -> bool:
        """Record the failure of a route; returns whether another one may avoid it."""
        container, _, aws = self._asked
        if name == self._remembered:
            memory.forget(container, aws)
        if not isinstance(error, SmProxyError):
            return False
        module = route(name)
        if error.mendable:  # by the network, which routes that dial from the same place share
            self._left = [
                other for other in self._left if route(other).DIALS_FROM != module.DIALS_FROM
            ]
        mendable = error.mendable or error.code in module.MENDABLE
        debug_log.write(f"route {name} failed", code=error.code, mendable=mendable)
        if mendable:
            self._errors.append((name, error))
        return mendable

    def _cause(self) -> SmProxyError:
        """Why the next route is tried: the last one failed, or else the best one is not usable."""
        failed = [error for name, error in self._errors if name in self._tried]
        return failed[-1] if failed else self._errors[0][1]

    def _first_error(self) -> SmProxyError:
        """The error of the first route, with those of the other routes that were tried."""
        host = self._asked[0].host
        if not self._errors:
            what = f"no route leads to the container of {host}"
            return SmProxyError("route-unusable", what, f"See why: sm-proxy resolve {host}")
        first = self._errors[0][1]
        others = [
            f"{name}: {error.message}" for name, error in self._errors[1:] if name in self._tried
        ]
        if not others:
            return first
        return SmProxyError(first.code, "; ".join([first.message, *others]), first.hint)


def _discovered(container: Container, settings: Settings, aws: Aws) -> Stream | None:
    """A direct stream, if a probe finds the container in this network; None if it does not."""
    from sm_proxy.routes import direct  # noqa: PLC0415 - where no route is usable

    return threads.run(direct.discover, container, settings, aws)


def _verdict(name: str, container: Container, settings: Settings, aws: Aws) -> Verdict:
    if name not in routes_of(container.kind):
        found = Verdict(usable=False, reason=f"it leads to no container of kind {container.kind}")
    else:
        found = threads.run(route(name).verdict, container, settings, aws)
    debug_log.write(f"route {name}", usable=found.usable, why=found.reason)
    return found
