"""Check the network ACLs of the near end's and the container's subnet, in both directions."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sm_proxy.aws.security_rules import is_within
from sm_proxy.doctor.check import Context, SkipCheck, needed
from sm_proxy.doctor.security_groups import ask_ec2
from sm_proxy.errors import SmProxyError

_ANSWERS: Final = (32768, 60999)
"""Linux's source ports (ip_local_port_range): answers go there, and ACLs are stateless."""
_TCP: Final = frozenset({"-1", "6"})


@dataclass(frozen=True)
class _Edge:
    """Packets that cross the edge of a subnet.

    Attributes:
        subnet: its id.
        egress: whether the packets leave it.
        peer: the address on the other side.
        ports: the first and the last destination port.
    """

    subnet: str
    egress: bool
    peer: str
    ports: tuple[int, int]

    def __str__(self) -> str:
        """For people."""
        first, last = self.ports
        shown = f"port {first}" if first == last else f"ports {first} to {last}"
        way = f"out to {self.peer}" if self.egress else f"in from {self.peer}"
        return f"{way}, {shown}"


def path(context: Context) -> str:
    """Both subnets' ACLs allow the container's port, and the ports that answers go to."""
    container = needed(context.container, "the container")
    instance = needed(context.hop, context.hop_name)
    address = needed(container.address, "the container's address")
    if ipaddress.ip_address(address).is_loopback:
        raise SkipCheck("a loopback address has no network ACL")
    near = needed(instance.get("SubnetId"), f"the subnet of {context.hop_name}")
    far = needed(_subnet_of(context, address), "the container's subnet")
    if near == far:
        return f"{context.hop_name} and the container are both in {near}"
    bastion = str(needed(instance.get("PrivateIpAddress"), f"the address of {context.hop_name}"))
    acls = _acls(context, near, far)
    ports = (container.port, container.port)
    for edge in (
        _Edge(near, egress=True, peer=address, ports=ports),
        _Edge(far, egress=False, peer=bastion, ports=ports),
        _Edge(far, egress=True, peer=bastion, ports=_ANSWERS),
        _Edge(near, egress=False, peer=address, ports=_ANSWERS),
    ):
        acl = needed(acls.get(edge.subnet), f"the network ACL of {edge.subnet}")
        if not all(_lets(acl["Entries"], edge, port) for port in edge.ports):
            raise _closed(context, acl, edge)
    return f"{near} to {far}, port {container.port}, and back"


def _subnet_of(context: Context, address: str) -> str | None:
    job = needed(context.job, "the job")
    answer = ask_ec2(context, "DescribeSubnets", SubnetIds=list(job.subnets))
    found = [item for item in answer["Subnets"] if is_within(address, item["CidrBlock"])]
    return str(found[0]["SubnetId"]) if found else None


def _acls(context: Context, *subnets: str) -> dict[str, dict[str, Any]]:
    """The ACL of each subnet, by the subnet's id."""
    filters = [{"Name": "association.subnet-id", "Values": sorted(subnets)}]
    answer = ask_ec2(context, "DescribeNetworkAcls", Filters=filters)
    return {
        joined["SubnetId"]: acl
        for acl in answer.get("NetworkAcls", [])
        for joined in acl.get("Associations", [])
    }


def _lets(entries: Sequence[dict[str, Any]], edge: _Edge, port: int) -> bool:
    """Whether the first matching entry, in the order of the numbers, allows it."""
    for entry in sorted(entries, key=lambda entry: int(entry["RuleNumber"])):
        if entry["Egress"] == edge.egress and _fits(entry, edge.peer, port):
            return bool(entry["RuleAction"] == "allow")
    return False


def _fits(entry: dict[str, Any], peer: str, port: int) -> bool:
    block = entry.get("CidrBlock") or entry.get("Ipv6CidrBlock", "")
    if str(entry["Protocol"]) not in _TCP or not is_within(peer, block):
        return False
    ranged = entry.get("PortRange") if str(entry["Protocol"]) != "-1" else None
    return not ranged or int(ranged["From"]) <= port <= int(ranged["To"])


def _closed(context: Context, acl: dict[str, Any], edge: _Edge) -> SmProxyError:
    name, way = acl["NetworkAclId"], "egress" if edge.egress else "ingress"
    numbers = [int(item["RuleNumber"]) for item in acl["Entries"] if item["Egress"] == edge.egress]
    return SmProxyError(
        "sshd-silent",
        f"{name}, the network ACL of {edge.subnet}, allows no TCP {edge}",
        f"aws ec2 create-network-acl-entry --network-acl-id {name} --{way} --rule-action allow"
        f" --rule-number {max(1, min(numbers, default=101) - 1)} --protocol tcp"
        f" --port-range From={edge.ports[0]},To={edge.ports[1]} --cidr-block {edge.peer}/32"
        f" --region {context.aws.region}",
    )
