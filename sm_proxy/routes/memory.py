"""Which route served a container last, for each network that this machine is in.

A later connection from the same network prefers that route, so that it does not fail with others
first. The record is kept by account and VPC (by job without one), because the way there is the same
for all containers of a VPC. A route that never failed over to another one leaves no record.

It also names the routes that failed then: only those are tried after it. So a better one, such as
`direct` in a machine that AWS now proves to be inside the VPC, still comes first.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

from sm_proxy.aws.clients import Aws
from sm_proxy.jobs.container import Container
from sm_proxy.state.cache import Cache

SERVED_S: Final = 3600.0
"""How long a route is preferred after it served where an earlier one could not."""
PROBED_S: Final = 24 * 3600.0
"""How long `direct` is preferred after a probe has seen the container's host key."""
_CACHE: Final = "routes"
_NETWORKS: Final = 16
"""How many networks are kept for one VPC; the one that expires first goes."""


def recall(container: Container, aws: Aws) -> str | None:
    """The route to prefer in this network; None without a record, which costs one look for it."""
    known = _load(container, aws)
    if not known:
        return None
    found = known.get(_network())
    return str(found["route"]) if found is not None else None


def order(container: Container, aws: Aws, routes: Sequence[str]) -> list[str]:
    """The routes in the order in which to try them: the preferred one before those that failed."""
    known, found = _load(container, aws), list(routes)
    entry = known.get(_network()) if known else None
    if entry is None or (preferred := entry["route"]) not in found:
        return found
    at = next((found.index(name) for name in found if name in _failed(entry)), len(found))
    if at < found.index(preferred):
        found.remove(preferred)
        found.insert(at, preferred)
    return found


def remember(
    container: Container,
    aws: Aws,
    route: str,
    for_s: float = SERVED_S,
    *,
    instead_of: Iterable[str] = (),
) -> None:
    """Prefer `route` in this network for some time, to the routes that failed before it."""
    known, network = _load(container, aws), _network()
    failed, before = set(instead_of), known.get(network)
    if before is not None and before["route"] == route:
        failed.update(_failed(before))
    until = time.time() + for_s
    known[network] = {"route": route, "until": until, "instead_of": sorted(failed)}
    latest = sorted(known, key=lambda network: -float(known[network]["until"]))[:_NETWORKS]
    _save(container, aws, {network: known[network] for network in latest})


def forget(container: Container, aws: Aws) -> None:
    """Prefer no route in this network: the preferred one failed."""
    known = _load(container, aws)
    if known and known.pop(_network(), None) is not None:
        _save(container, aws, known)


def _failed(entry: dict[str, Any]) -> list[str]:
    """The routes that failed before the preferred one served."""
    found = entry.get("instead_of")
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []


def _load(container: Container, aws: Aws) -> dict[str, dict[str, Any]]:
    """The valid entries by network."""
    record = Cache(_CACHE).load(*_key(container, aws)) or {}
    return {
        network: entry
        for network, entry in record.items()
        if isinstance(entry, dict)
        and isinstance(entry.get("route"), str)
        and isinstance(until := entry.get("until"), float)
        and math.isfinite(until)
        and until > time.time()
    }


def _save(container: Container, aws: Aws, known: dict[str, dict[str, Any]]) -> None:
    key = _key(container, aws)
    if not known:
        Cache(_CACHE).forget(*key)
        return
    expires = max(float(entry["until"]) for entry in known.values())
    Cache(_CACHE).save(*key, record=known, expires=expires)


def _key(container: Container, aws: Aws) -> tuple[str, str]:
    return aws.scope, container.vpc_id or f"job {container.job}"


def _network() -> str:
    from sm_proxy.local import network_place  # noqa: PLC0415 - most connections have no record

    return network_place.fingerprint()
