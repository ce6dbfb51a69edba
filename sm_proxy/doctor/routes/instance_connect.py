"""The route through an EC2 Instance Connect Endpoint: the endpoint, and its way to the job."""

from __future__ import annotations

from typing import Final

from sm_proxy.doctor import connect_endpoint, network_acls, security_groups
from sm_proxy.doctor.routes import RouteChecks

CHECKS: Final = RouteChecks(
    find=(("connect-endpoint", connect_endpoint.ready),),
    examine_for_job=(
        ("security-groups", security_groups.path),
        ("network-acls", network_acls.path),
    ),
)
