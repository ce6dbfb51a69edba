"""The route through the bastion's own sshd: the instance, Instance Connect, the way to the job."""

from __future__ import annotations

from typing import Final

from sm_proxy.doctor import (
    bastion,
    bastion_sshd,
    network_acls,
    security_groups,
    ssm_reachability,
)
from sm_proxy.doctor.routes import RouteChecks

CHECKS: Final = RouteChecks(
    find=(("bastion", bastion.running),),
    examine=(
        ("endpoints", ssm_reachability.way_to_ssm),
        ("endpoint-groups", ssm_reachability.endpoint_groups),
        ("agent", bastion_sshd.agent),
        ("instance-connect", bastion_sshd.instance_connect),
        ("bastion-key", bastion_sshd.host_key),
    ),
    examine_for_job=(
        ("security-groups", security_groups.path),
        ("network-acls", network_acls.path),
    ),
)
