"""The route through a bastion: the instance, its agent, and its ways to SSM and to the job."""

from __future__ import annotations

from typing import Final

from sm_proxy.doctor import bastion, network_acls, security_groups, ssm_reachability
from sm_proxy.doctor.routes import RouteChecks

CHECKS: Final = RouteChecks(
    find=(("bastion", bastion.running),),
    examine=(
        ("endpoints", ssm_reachability.way_to_ssm),
        ("endpoint-groups", ssm_reachability.endpoint_groups),
        ("agent", bastion.agent),
    ),
    examine_for_job=(
        ("security-groups", security_groups.path),
        ("network-acls", network_acls.path),
    ),
)
