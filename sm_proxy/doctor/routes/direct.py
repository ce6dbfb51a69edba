"""The direct route: the proof that this machine is inside the VPC, and the way to the container."""

from __future__ import annotations

from typing import Final

from sm_proxy.doctor import network_acls, place, security_groups
from sm_proxy.doctor.routes import RouteChecks

CHECKS: Final = RouteChecks(
    find=(("place", place.inside),),
    examine_for_job=(
        ("security-groups", security_groups.path),
        ("network-acls", network_acls.path),
    ),
)
