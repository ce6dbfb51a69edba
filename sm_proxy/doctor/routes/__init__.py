"""The choice of a route, and the checks of each: a module named after the route, with `CHECKS`.

In the module's name, `_` stands for the `-` of the route's. A route without a module here has no
checks of its own.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from sm_proxy.aws.job_kinds import Kind
from sm_proxy.doctor.check import Context, DoubtfulCheck, Stage, needed
from sm_proxy.jobs import kinds
from sm_proxy.routes import table
from sm_proxy.settings import Settings
from sm_proxy.settings.route_names import AUTO, routes_of


@dataclass(frozen=True)
class RouteChecks:
    """The checks of one route; those of one stage run concurrently.

    Attributes:
        find: finds what the route goes through, and sets `Context.hop`.
        examine: examines the hop; needs no job.
        examine_for_job: examines the way from the hop to the job's container.
        suffices: whether `find` shows, without a job, that no later route is needed.
        own_sessions: whether users may resume and end its sessions.
    """

    find: Stage = ()
    examine: Stage = ()
    examine_for_job: Stage = ()
    suffices: Callable[[Context], bool] = lambda context: context.hop is not None
    own_sessions: bool = True


def choose(context: Context) -> str:
    """A route is usable; its checks follow, or those of the best route that should be."""
    container = needed(context.container, "the container")
    choice = table.judge(container, context.settings, context.aws)
    if choice.route is None and table.discovers(container, context.settings, context.aws):
        choice = table.judge(container, context.settings, context.aws)  # as ssh would find out
    reasons = {name: f"{name}: {found.reason}" for name, found in choice.verdicts.items()}
    errors = [name for name, found in choice.verdicts.items() if found.error is not None]
    if choice.route is None:
        context.route = next(iter(errors), allowed(context.settings, container.kind)[0])
        if context.settings.route != AUTO:
            context.route = context.settings.route
            raise DoubtfulCheck(
                f"you asked for a route that does not work here: {reasons[context.route]}"
            )
        raise DoubtfulCheck("no route works now: " + "; ".join(reasons.values()))
    context.route = choice.route
    order = list(choice.verdicts)
    better = [reasons[name] for name in errors if order.index(name) < order.index(choice.route)]
    return reasons[choice.route] + (f" ({'; '.join(better)})" if better else "")


def allowed(settings: Settings, kind: Kind = kinds.ORDER[0]) -> Sequence[str]:
    """The routes that the settings allow, in the order in which they are tried.

    Args:
        settings: of this run.
        kind: of the job; the routes to jobs by default.
    """
    return routes_of(kind) if settings.route == AUTO else (settings.route,)


def checks_of(route: str | None) -> RouteChecks:
    """The checks of a route; none if it has no module here, or if it is not known yet."""
    name = f"{__name__}.{(route or 'none').replace('-', '_')}"
    if importlib.util.find_spec(name) is None:
        return RouteChecks()
    return cast("RouteChecks", importlib.import_module(name).CHECKS)
