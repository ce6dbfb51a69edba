"""Who may reach whom in the lab's VPC, read from moto's records.

The records are enforced only in VPCs with the tag ENFORCED, which the lab's own VPC has, or, in a
lab that has begun empty, in every VPC.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from sm_proxy_lab.account import ENFORCED
from sm_proxy_lab.aws import moto_app
from sm_proxy_lab.aws.http.call import ACCOUNT
from sm_proxy_lab.aws.vpc import way_out as ways
from sm_proxy_lab.aws.vpc.way_out import WayOut
from sm_proxy_lab.machines.cable import EVERYWHERE, Place
from sm_proxy_lab.machines.network import SERVICE_ADDRESSES
from sm_proxy_lab.machines.packet_filter import Gate, Rule

BASTION_TAG: Final = ("sm-proxy:role", "bastion")
_PROTOCOLS: Final = {"-1": "", "6": "tcp", "17": "udp", "1": "icmp"}


@dataclass(frozen=True)
class Vpc:
    """The rules to enforce.

    Attributes:
        machines: gates of instances and containers, by their security groups.
        subnets: gates of subnets, by their network ACLs, and of VPCs, which keep them apart.
    """

    machines: tuple[Gate, ...]
    subnets: tuple[Gate, ...]


def instance(region: str, instance_id: str, *, every_vpc: bool = False) -> Any | None:
    """The instance with this id; None if it does not exist or its VPC is not enforced."""
    with opened(region) as backend:
        found = [item for item in backend.all_instances() if item.id == instance_id]
        return found[0] if found and (every_vpc or _enforced(backend, found[0].vpc_id)) else None


def instance_at(region: str, address: str, *, every_vpc: bool = False) -> Any | None:
    """The instance with this private address; None as in `instance`."""
    with opened(region) as backend:
        there = [item for item in _alive(backend) if str(item.private_ip) == address]
        return there[0] if there and (every_vpc or _enforced(backend, there[0].vpc_id)) else None


def instance_role(region: str, instance_id: str) -> str | None:
    """The ARN of the role in an instance's profile; None if it has no such profile or role."""
    with opened(region) as backend:
        joined = backend.iam_instance_profile_associations.get(instance_id)
        roles = joined.iam_instance_profile.roles if joined else []
        return str(roles[0].arn) if roles else None


@dataclass(frozen=True)
class Bastion:
    """A running bastion.

    Attributes:
        region: where it is.
        place: its address and its subnet's block.
        vpc_block: the block of its VPC.
    """

    region: str
    place: Place
    vpc_block: str


def bastion() -> Bastion | None:
    """The first running instance with a bastion's tag, in any region; None if there is none."""
    from moto.ec2.models import ec2_backends  # noqa: PLC0415 - as in `opened`

    with moto_app.LOCK:
        regions = sorted(ec2_backends[ACCOUNT])  # those that were called
    return next(filter(None, map(_bastion_of, regions)), None)


def _bastion_of(region: str) -> Bastion | None:
    name, value = BASTION_TAG
    with opened(region) as backend:
        for item in backend.all_instances():
            tags = {tag["key"]: tag["value"] for tag in item.get_tags()}
            if item.state == "running" and item.subnet_id and tags.get(name) == value:
                subnet = backend.get_subnet(item.subnet_id)
                where = Place(str(item.private_ip), str(subnet.cidr_block))
                return Bastion(region, where, str(backend.vpcs[subnet.vpc_id].cidr_block))
    return None


@dataclass(frozen=True)
class Subnet:
    """A subnet: its VPC, the VPC's address block, and its availability zone."""

    vpc_id: str
    vpc_block: str
    zone: str


def subnet(region: str, subnet_id: str) -> Subnet | None:
    """The subnet with this id; None if there is none."""
    with opened(region) as backend:
        for zone in backend.subnets.values():
            if (found := zone.get(subnet_id)) is not None:
                block = str(backend.vpcs[found.vpc_id].cidr_block)
                return Subnet(str(found.vpc_id), block, str(found.availability_zone))
    return None


def known(region: str) -> set[str]:
    """The ids of all subnets and security groups of a region."""
    with opened(region) as backend:
        subnets = [name for zone in backend.subnets.values() for name in zone]
        return {*subnets, *(name for groups in backend.groups.values() for name in groups)}


def in_use(region: str) -> set[str]:
    """The ids of what EC2 would not delete.

    These are subnets with network interfaces, groups of instances and endpoints or in the rules of
    other groups, VPCs that hold something, and addresses of NAT gateways and instances.
    """
    with opened(region) as backend:
        instances = _alive(backend)
        groups = [group for item in instances for group in _groups_of(item)]
        for item in backend.vpc_end_points.values():
            if str(item.state).lower() == "available":
                groups += item.security_group_ids or []
        # Moto keeps the interfaces of terminated instances.
        kept = [i for i in backend.enis.values() if i.instance is None or i.instance in instances]
        groups += [name for group in _groups(backend) for name in _peers(group)]
        vpcs = [group.vpc_id for group in _groups(backend) if group.name != "default"]
        vpcs += [item.vpc.id for item in backend.internet_gateways.values() if item.vpc]
        vpcs += [item.vpc_id for item in backend.vpc_end_points.values() if item.state != "deleted"]
        addresses = [item.allocation_id for item in backend.addresses if item.eni or item.instance]
        return {*groups, *vpcs, *addresses, *(str(interface.subnet.id) for interface in kept)}


def mapped(region: str) -> set[str]:
    """The ids of the VPCs in which something has a public address."""
    with opened(region) as backend:
        return {str(item.eni.subnet.vpc_id) for item in backend.addresses if item.eni}


def vpc(region: str, containers: Mapping[str, Sequence[str]], *, every_vpc: bool = False) -> Vpc:
    """The gates of a region's enforced VPCs.

    Args:
        region: the region.
        containers: the security groups of each container, by its address.
        every_vpc: whether all VPCs are enforced.
    """
    groups = {address: tuple(found) for address, found in containers.items()}
    with opened(region) as backend:
        enforced = {name for name in backend.vpcs if every_vpc or _enforced(backend, name)}
        for item in _alive(backend):
            if item.vpc_id in enforced:
                groups[str(item.private_ip)] = _groups_of(item)
        members = groups | _service_groups(backend, enforced)
        machines = tuple(_machine(backend, address, members) for address in sorted(groups))
        return Vpc(machines, (*_subnets(backend, enforced), *_apart(backend, enforced)))


def add_interface(
    region: str,
    address: str,
    mac: str,
    groups: Sequence[str],
    description: str,
    *,
    every_vpc: bool = False,
) -> str | None:
    """Show a network interface of SageMaker in the enforced subnet that has `address`.

    Returns:
        The interface's id; None if there is no such subnet.
    """
    where = ipaddress.ip_address(address)
    with opened(region) as backend:
        subnets = [subnet for zone in backend.subnets.values() for subnet in zone.values()]
        for subnet in subnets:
            block = ipaddress.ip_network(subnet.cidr_block)
            if where in block and (every_vpc or _enforced(backend, subnet.vpc_id)):
                made = backend.create_network_interface(
                    subnet, address, group_ids=list(groups), description=description
                )
                made.mac_address, made.status = mac, "in-use"
                made.requester_managed = True
                return str(made.id)
    return None


def remove_interfaces(region: str, ids: Sequence[str]) -> None:
    """Remove network interfaces, if they still exist."""
    with opened(region) as backend:
        for name in ids:
            backend.enis.pop(name, None)


def way_out(
    region: str, found: Any, containers: Mapping[str, Sequence[str]], *, egress: bool = False
) -> WayOut:
    """How the instance `found` reaches Systems Manager.

    Args:
        region: the region.
        found: the instance.
        containers: the security groups of each container, by its address.
        egress: whether the instance's egress rules apply.
    """
    members = {address: tuple(groups) for address, groups in containers.items()}
    with opened(region) as backend:
        members[str(found.private_ip)] = own = _groups_of(found)
        endpoints = {
            str(item.service_name).rpartition(".")[2]: _of_groups(
                backend, item.security_group_ids, "ingress_rules", members
            )
            for item in backend.vpc_end_points.values()
            if item.vpc_id == found.vpc_id and str(item.state).lower() == "available"
        }
        members |= _service_groups(backend, {found.vpc_id})
        default = ways.has_default_route(
            backend, found.vpc_id, found.subnet_id, public=bool(found.public_ip)
        )
        rules = _of_groups(backend, own, "egress_rules", members) if egress else None
        return WayOut(default, endpoints, rules)


@contextmanager
def opened(region: str) -> Iterator[Any]:
    """Moto's EC2 backend of a region, locked while the block runs."""
    from moto.ec2.models import ec2_backends  # noqa: PLC0415 - loaded by the first call anyway

    with moto_app.LOCK:
        yield ec2_backends[ACCOUNT][region]


def _alive(backend: Any) -> list[Any]:
    """The instances that are not terminated: moto keeps the others, with their addresses."""
    return [item for item in backend.all_instances() if item.state != "terminated"]


def _groups_of(item: Any) -> tuple[str, ...]:
    """The groups of an instance; RunInstances names them for it or for its interface."""
    of_interface = (group for nic in item.nics.values() for group in nic.group_set)
    return tuple(group.id for group in item.security_groups or of_interface)


def _service_groups(backend: Any, vpcs: Collection[str]) -> dict[str, tuple[str, ...]]:
    """The groups of endpoints, by the address that a service has in the lab."""
    found: dict[str, tuple[str, ...]] = {}
    for item in backend.vpc_end_points.values():
        address = SERVICE_ADDRESSES.get(str(item.service_name).rpartition(".")[2])
        if address and item.vpc_id in vpcs and str(item.state).lower() == "available":
            found[address] = (*found.get(address, ()), *(item.security_group_ids or ()))
    return found


def _apart(backend: Any, vpcs: Collection[str]) -> Iterator[Gate]:
    """Gates of VPCs: one lets nothing through to another. VPCs with one block share a gate."""
    blocks = {str(backend.vpcs[name].cidr_block) for name in vpcs}
    for own in sorted(blocks):
        here = ipaddress.ip_network(own)
        others = [each for each in sorted(blocks) if not here.overlaps(ipaddress.ip_network(each))]
        if others:
            yield Gate(own, (Rule(tuple(others), allow=False), Rule((EVERYWHERE,))), None)


def _groups(backend: Any) -> list[Any]:
    return [group for found in backend.groups.values() for group in found.values()]


def _peers(group: Any) -> set[str]:
    """The ids of the other groups in a group's rules."""
    rules = [*group.ingress_rules, *group.egress_rules]
    return {str(rule.source_group.get("GroupId", "")) for rule in rules} - {group.id, ""}


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


def _subnets(backend: Any, vpcs: Collection[str]) -> list[Gate]:
    acls = {
        joined.subnet_id: acl
        for acl in backend.network_acls.values()
        if acl.vpc_id in vpcs
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
