"""The checks of each route: a module named after the route, with `CHECKS`.

In the module's name, `_` stands for the `-` of the route's. A route without a module here has no
checks of its own.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from sm_proxy.doctor.check import Stage
from sm_proxy.settings.route_names import ROUTE_NAMES


@dataclass(frozen=True)
class RouteChecks:
    """The checks of one route; those of one stage run concurrently.

    Attributes:
        find: finds what the route goes through, and sets `Context.hop`.
        examine: examines the hop; needs no job.
        examine_for_job: examines the way from the hop to the job's container.
    """

    find: Stage = ()
    examine: Stage = ()
    examine_for_job: Stage = ()


def all_checks() -> Sequence[RouteChecks]:
    """The checks of every route, in the order of the table of routes."""
    names = [f"{__name__}.{name.replace('-', '_')}" for name in ROUTE_NAMES]
    existing = [name for name in names if importlib.util.find_spec(name) is not None]
    return [cast("RouteChecks", importlib.import_module(name).CHECKS) for name in existing]
