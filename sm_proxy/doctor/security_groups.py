"""Check that the security groups admit the bastion, or this machine, to the container's port."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Any

from sm_proxy.aws import security_rules
from sm_proxy.aws.errors import ServiceError
from sm_proxy.doctor import job
from sm_proxy.doctor.check import Context, DoubtfulCheck, SkipCheck, needed
from sm_proxy.errors import SmProxyError


def path(context: Context) -> str:
    """The egress rules of the near end and the job's ingress rules allow the container's port."""
    container = needed(context.container, "the container")
    instance = needed(context.hop, context.hop_name)
    theirs = job.security_groups(context)
    ours = [str(item["GroupId"]) for item in instance.get("SecurityGroups", [])]
    if not ours or not theirs:
        raise SkipCheck("the security groups are unknown")
    rules = describe_groups(context, {*ours, *theirs})
    port = container.port
    bastion = str(instance.get("PrivateIpAddress", ""))
    address = needed(container.address, "the container's address")
    if ipaddress.ip_address(address).is_loopback:
        raise SkipCheck("a loopback address has no security group")
    if not security_rules.lets("out", rules, ours, port=port, address=address, peers=theirs):
        raise _closed(context, ours, "egress", f"to {address} port {container.port}")
    if not security_rules.lets("in", rules, theirs, port=port, address=bastion, peers=ours):
        raise _closed(
            context, theirs, "ingress", f"from {bastion} to port {container.port}", ours[0]
        )
    return f"{', '.join(ours)} to {', '.join(theirs)}, port {container.port}"


def describe_groups(context: Context, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The security groups by id."""
    answer = ask_ec2(context, "DescribeSecurityGroups", GroupIds=sorted(ids))
    return {item["GroupId"]: item for item in answer.get("SecurityGroups", [])}


def ask_ec2(context: Context, operation: str, **parameters: Any) -> dict[str, Any]:
    """Call EC2.

    Raises:
        SkipCheck: the call fails or is denied.
    """
    try:
        return context.aws.call("ec2", operation, **parameters)
    except ServiceError as error:
        raise DoubtfulCheck(f"ec2:{operation} does not answer: {error.error}") from None
    except SmProxyError as error:
        if error.code != "access-denied":
            raise
        raise DoubtfulCheck(f"ec2:{operation} is denied") from None


def _closed(
    context: Context, groups: Sequence[str], way: str, what: str, peer: str = ""
) -> SmProxyError:
    container = needed(context.container, "the container")
    source = f"--source-group {peer}" if peer else f"--cidr {container.address}/32"
    return SmProxyError(
        "sshd-silent",
        f"no {way} rule of {', '.join(groups)} allows TCP {what}",
        f"aws ec2 authorize-security-group-{way} --group-id {groups[0]} --protocol tcp"
        f" --port {container.port} {source} --region {context.aws.region}",
    )
