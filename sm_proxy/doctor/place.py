"""Check that this machine is inside the job's VPC, and find the interface that packets leave by."""

from __future__ import annotations

from typing import Any

from sm_proxy.doctor.check import Context, SkipCheck
from sm_proxy.doctor.security_groups import ask_ec2
from sm_proxy.local import network_place
from sm_proxy.routes import inside_vpc


def inside(context: Context) -> str:
    """AWS proves that this machine is inside the job's VPC; without a job, inside any VPC."""
    container = context.container
    if container is None or not container.address or not container.vpc_id:
        found = inside_vpc.own_vpcs(context.aws)
        if found is None:
            return "this machine is in no VPC, so jobs are reached by other routes than direct"
        context.hop = {}  # without a container, nothing more can be checked
        return found.reason
    context.hop = _own_interface(context, container.vpc_id, container.address)
    proof = inside_vpc.prove(context.aws, container.vpc_id, container.address, fresh=True)
    if not proof.inside:
        raise SkipCheck(f"no proof that this machine is in {container.vpc_id}: {proof.reason}")
    return proof.reason


def _own_interface(context: Context, vpc_id: str, address: str) -> dict[str, Any] | None:
    """The network interface that packets to `address` leave by; None if EC2 does not tell."""
    own = network_place.source_address(address)
    if own is None:
        return None
    filters = [
        {"Name": "addresses.private-ip-address", "Values": [own]},
        {"Name": "vpc-id", "Values": [vpc_id]},
    ]
    try:
        answer = ask_ec2(context, "DescribeNetworkInterfaces", Filters=filters)
    except SkipCheck:
        return None
    found = next(iter(answer.get("NetworkInterfaces", [])), None)
    if found is None:
        return None
    return {
        "InstanceId": found.get("NetworkInterfaceId"),
        "PrivateIpAddress": own,
        "SubnetId": found.get("SubnetId"),
        "SecurityGroups": found.get("Groups", []),
    }
