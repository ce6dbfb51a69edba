"""Who may reach whom in the lab's VPC, read from moto's records.

The records are enforced only in VPCs with the tag ENFORCED. The lab's own VPC has it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from sm_proxy_lab.account import ENFORCED
from sm_proxy_lab.aws import moto_app
from sm_proxy_lab.aws.http.call import ACCOUNT
from sm_proxy_lab.machines.packet_filter import Gate, Rule

SERVICES: Final = ("ssm", "ssmmessages")
"""The services that an agent needs."""
_HTTPS: Final = 443
_PROTOCOLS: Final = {"-1": "", "6": "tcp", "17": "udp", "1": "icmp"}


@dataclass(frozen=True)
class Vpc:
    """The rules to enforce.

    Attributes:
        machines: gates of instances and containers, by their security groups.
        subnets: gates of subnets, by their network ACLs.
    """

    machines: tuple[Gate, ...]
    subnets: tuple[Gate, ...]


@dataclass(frozen=True)
class WayOut:
    """How an instance reaches Systems Manager.

    Attributes:
        default: whether its subnet has a default route.
        endpoints: service -> ingress rules of the VPC endpoint for that service.
    """

    default: bool
    endpoints: Mapping[str, tuple[Rule, ...]]

    def lets(self, address: str) -> bool:
        """Whether the agent at `address` reaches all of these services."""
        return all(
            any(rule.fits(address, _HTTPS) for rule in self.endpoints[service])
            if service in self.endpoints
            else self.default
            for service in SERVICES
        )


def instance(region: str, instance_id: str) -> Any | None:
    """The instance with this id; None if it does not exist or its VPC is not enforced."""
    with _opened(region) as backend:
        found = [item for item in backend.all_instances() if item.id == instance_id]
        return found[0] if found and _enforced(backend, found[0].vpc_id) else None


def instance_at(region: str, address: str) -> Any | None:
    """The instance with this private address; None as in `instance`."""
    with _opened(region) as backend:
        found = [item for item in backend.all_instances() if str(item.private_ip) == address]
        return found[0] if found and _enforced(backend, found[0].vpc_id) else None


@dataclass(frozen=True)
class Subnet:
    """A subnet: its VPC, the VPC's address block, and its availability zone."""

    vpc_id: str
    vpc_block: str
    zone: str


def subnet(region: str, subnet_id: str) -> Subnet | None:
    """The subnet with this id; None if there is none."""
    with _opened(region) as backend:
        for zone in backend.subnets.values():
            if (found := zone.get(subnet_id)) is not None:
                block = str(backend.vpcs[found.vpc_id].cidr_block)
                return Subnet(str(found.vpc_id), block, str(found.availability_zone))
    return None


def known(region: str) -> set[str]:
    """The ids of all subnets and security groups of a region."""
    with _opened(region) as backend:
        subnets = [name for zone in backend.subnets.values() for name in zone]
        return {*subnets, *(name for groups in backend.groups.values() for name in groups)}


def in_use(region: str) -> set[str]:
    """The ids of subnets with network interfaces, and of the groups of instances and endpoints."""
    with _opened(region) as backend:
        instances = [item for item in backend.all_instances() if item.state != "terminated"]
        groups = [group.id for item in instances for group in item.security_groups]
        for item in backend.vpc_end_points.values():
            if str(item.state).lower() == "available":
                groups += item.security_group_ids or []
        # Moto keeps the interfaces of terminated instances.
        kept = [i for i in backend.enis.values() if i.instance is None or i.instance in instances]
        return {*groups, *(str(interface.subnet.id) for interface in kept)}


def vpc(region: str, containers: Mapping[str, Sequence[str]]) -> Vpc:
    """The gates of a region's enforced VPCs.

    Args:
        region: the region.
        containers: the security groups of each container, by its address.
    """
    groups = {address: tuple(found) for address, found in containers.items()}
    with _opened(region) as backend:
        for item in backend.all_instances():
            if item.state != "terminated" and _enforced(backend, item.vpc_id):
                groups[str(item.private_ip)] = tuple(group.id for group in item.security_groups)
        machines = tuple(_machine(backend, address, groups) for address in sorted(groups))
        return Vpc(machines, tuple(_subnets(backend)))


def add_interface(
    region: str, address: str, mac: str, groups: Sequence[str], description: str
) -> str | None:
    """Show a network interface of SageMaker in the enforced subnet that has `address`.

    Returns:
        The interface's id; None if there is no such subnet.
    """
    where = ipaddress.ip_address(address)
    with _opened(region) as backend:
        subnets = [subnet for zone in backend.subnets.values() for subnet in zone.values()]
        for subnet in subnets:
            block = ipaddress.ip_network(subnet.cidr_block)
            if where in block and _enforced(backend, subnet.vpc_id):
                made = backend.create_network_interface(
                    subnet, address, group_ids=list(groups), description=description
                )
                made.mac_address, made.status = mac, "in-use"
                made.requester_managed = True
                return str(made.id)
    return None


def remove_interfaces(region: str, ids: Sequence[str]) -> None:
    """Remove network interfaces, if they still exist."""
    with _opened(region) as backend:
        for name in ids:
            backend.enis.pop(name, None)


def way_out(region: str, found: Any, containers: Mapping[str, Sequence[str]]) -> WayOut:
    """How the instance `found` reaches Systems Manager."""
    members = {address: tuple(groups) for address, groups in containers.items()}
    with _opened(region) as backend:
        members[str(found.private_ip)] = tuple(group.id for group in found.security_groups)
        endpoints = {
            str(item.service_name).rpartition(".")[2]: _of_groups(
                backend, item.security_group_ids, "ingress_rules", members
            )
            for item in backend.vpc_end_points.values()
            if item.vpc_id == found.vpc_id and str(item.state).lower() == "available"
        }
        return WayOut(_default_route(backend, found), endpoints)


@contextmanager
def _opened(region: str) -> Iterator[Any]:
    """Moto's EC2 backend of a region, locked while the block runs."""
    from moto.ec2.models import ec2_backends  # noqa: PLC0415 - loaded by the first call anyway

    with moto_app.LOCK:
        yield ec2_backends[ACCOUNT][region]


def _enforced(backend: Any, vpc_id: str) -> bool:
    found = backend.vpcs.get(vpc_id)
    return found is not None and any(tag["key"] == ENFORCED for tag in found.get_tags())


def _machine(backend: Any, address: str, groups: Mapping[str, Sequence[str]]) -> Gate:
    own = groups[address]
    if not own:  # a job that names none
        return Gate(address, None, None)
    return Gate(
        address,
        _of_groups(backend, own, "egress_rules", groups),
        _of_groups(backend, own, "ingress_rules", groups),
    )


def _of_groups(
    backend: Any, ids: Sequence[str], member: str, groups: Mapping[str, Sequence[str]]
) -> tuple[Rule, ...]:
    found = [backend.get_security_group_from_id(one) for one in ids]
    return tuple(_rule(rule, groups) for group in found if group for rule in getattr(group, member))


def _rule(rule: Any, groups: Mapping[str, Sequence[str]]) -> Rule:
    peers = [block for block in [rule.ip_range.get("CidrIp")] if block]
    if peer := rule.source_group.get("GroupId"):
        peers += [address for address, own in groups.items() if peer in own]
    protocol = str(rule.ip_protocol)
    ports = None if protocol == "-1" else _ports(rule.from_port, rule.to_port)
    return Rule(tuple(peers), _PROTOCOLS.get(protocol, protocol), ports)


def _ports(first: Any, last: Any) -> tuple[int, int] | None:
    return None if first in {None, ""} or int(first) < 0 else (int(first), int(last))


def _subnets(backend: Any) -> list[Gate]:
    acls = {
        joined.subnet_id: acl
        for acl in backend.network_acls.values()
        if _enforced(backend, acl.vpc_id)
        for joined in acl.associations
    }
    # Moto keeps the associations of deleted subnets.
    there = {name: subnet for zone in backend.subnets.values() for name, subnet in zone.items()}
    return [
        Gate(
            str(there[subnet_id].cidr_block),
            _entries(acl, egress=True),
            _entries(acl, egress=False),
        )
        for subnet_id, acl in sorted(acls.items())
        if subnet_id in there
    ]


def _entries(acl: Any, *, egress: bool) -> tuple[Rule, ...]:
    entries = [
        entry
        for entry in acl.network_acl_entries
        if (str(entry.egress).lower() == "true") == egress and entry.cidr_block
    ]
    return tuple(
        Rule(
            (str(ipaddress.ip_network(entry.cidr_block, strict=False)),),
            _PROTOCOLS.get(str(entry.protocol), str(entry.protocol)),
            _ports(entry.port_range_from, entry.port_range_to),
            allow=entry.rule_action == "allow",
        )
        for entry in sorted(entries, key=lambda entry: int(entry.rule_number))
    )


def _default_route(backend: Any, found: Any) -> bool:
    tables = [item for item in backend.route_tables.values() if item.vpc_id == found.vpc_id]
    own = [item for item in tables if found.subnet_id in _joined(item)]
    main = [item for item in tables if item.main_association_id]
    return any(
        route.destination_cidr_block == "0.0.0.0/0"
        for table in own or main
        for route in table.routes
    )


def _joined(table: Any) -> set[str]:
    return {str(item["SubnetId"]) for item in table.associations if "SubnetId" in item}
