"""Which ways the VPC's records leave open: security groups, endpoints, default routes.

Only in a VPC that carries the tag below is a missing record a closed way: the lab's own does.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from sm_proxy.lab.cloud import ENFORCED
from sm_proxy.lab.front.request import ACCOUNT

_NEEDED = {"ssm", "ssmmessages"}


def to_ssm(region: str, instance_id: str) -> bool:
    """Whether the agent of an instance finds a way to Systems Manager."""
    backend, instance = _instance(region, instance_id)
    if instance is None or not _enforced(backend, instance.vpc_id):
        return True
    services = {
        str(item.service_name).rpartition(".")[2]
        for item in backend.vpc_end_points.values()
        if item.vpc_id == instance.vpc_id and str(item.state).lower() == "available"
    }
    return services >= _NEEDED or _default_route(backend, instance)


def to_container(region: str, instance_id: str, address: str, port: int, groups: list[str]) -> bool:
    """Whether the groups let TCP pass from an instance to a container in `groups`."""
    backend, instance = _instance(region, instance_id)
    if instance is None or not groups or not _enforced(backend, instance.vpc_id):
        return True
    ours = list(instance.security_groups)
    theirs = [backend.get_security_group_from_id(group) for group in groups]
    peers = {group.id for group in theirs if group}
    out = any(_lets(r, port, address, peers) for g in ours for r in g.egress_rules)
    own = {group.id for group in ours}
    here = str(instance.private_ip)
    return out and any(_lets(r, port, here, own) for g in theirs if g for r in g.ingress_rules)


def _instance(region: str, instance_id: str) -> tuple[Any, Any]:
    from moto.ec2.models import ec2_backends  # noqa: PLC0415 - loaded by the first call anyway

    backend: Any = ec2_backends[ACCOUNT][region]
    found = [item for item in backend.all_instances() if item.id == instance_id]
    return backend, found[0] if found else None


def _enforced(backend: Any, vpc_id: str) -> bool:
    vpc = backend.vpcs.get(vpc_id)
    return vpc is not None and any(tag["key"] == ENFORCED for tag in vpc.get_tags())


def _default_route(backend: Any, instance: Any) -> bool:
    tables = [item for item in backend.route_tables.values() if item.vpc_id == instance.vpc_id]
    own = [item for item in tables if instance.subnet_id in _subnets(item)]
    main = [item for item in tables if item.main_association_id]
    return any(
        route.destination_cidr_block == "0.0.0.0/0"
        for table in own or main
        for route in table.routes
    )


def _subnets(table: Any) -> set[str]:
    return {str(item["SubnetId"]) for item in table.associations if "SubnetId" in item}


def _lets(rule: Any, port: int, address: str, peers: set[str]) -> bool:
    protocol = str(rule.ip_protocol)
    if protocol not in {"-1", "tcp", "6"}:
        return False
    if protocol != "-1" and not int(rule.from_port) <= port <= int(rule.to_port):
        return False
    if rule.source_group.get("GroupId") in peers:
        return True
    where = ipaddress.ip_address(address)
    block = rule.ip_range.get("CidrIp")
    return block is not None and where in ipaddress.ip_network(block, strict=False)
