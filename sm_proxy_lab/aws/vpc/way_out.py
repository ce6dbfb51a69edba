"""How an instance reaches Systems Manager: a default route, or endpoints in its VPC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sm_proxy_lab.machines.network import SERVICE_ADDRESSES
from sm_proxy_lab.machines.packet_filter import Rule

SERVICES: Final = ("ssm", "ssmmessages")
"""The services that an agent needs."""
_HTTPS: Final = 443
_DEFAULT: Final = "0.0.0.0/0"


@dataclass(frozen=True)
class WayOut:
    """How an instance reaches Systems Manager.

    Attributes:
        default: whether its subnet has a default route that works for it.
        endpoints: service -> ingress rules of the VPC endpoint for that service.
        egress: the egress rules of its security groups; None if they are not applied.
    """

    default: bool
    endpoints: Mapping[str, tuple[Rule, ...]]
    egress: tuple[Rule, ...] | None

    def lets(self, address: str) -> bool:
        """Whether the agent at `address` reaches all of these services."""
        return all(self._reaches(service, address) for service in SERVICES)

    def _reaches(self, service: str, address: str) -> bool:
        if self.egress is not None and not any(
            rule.fits(SERVICE_ADDRESSES[service], _HTTPS) for rule in self.egress
        ):
            return False
        if service in self.endpoints:
            return any(rule.fits(address, _HTTPS) for rule in self.endpoints[service])
        return self.default


def has_default_route(backend: Any, vpc_id: str, subnet_id: str, *, public: bool) -> bool:
    """Whether packets from a subnet get to the internet.

    Args:
        backend: moto's EC2 backend.
        vpc_id: the subnet's VPC.
        subnet_id: the subnet.
        public: whether the sender has a public address: an internet gateway serves no other.
    """
    tables = [item for item in backend.route_tables.values() if item.vpc_id == vpc_id]
    own = [item for item in tables if subnet_id in _joined(item)]
    main = [item for item in tables if item.main_association_id]
    return any(
        route.destination_cidr_block == _DEFAULT and _leads_out(backend, route, public=public)
        for table in own or main
        for route in table.routes
    )


def _leads_out(backend: Any, route: Any, *, public: bool) -> bool:
    """Whether the target of a default route still exists, and serves such senders."""
    if route.nat_gateway is not None:
        nat = backend.nat_gateways.get(route.nat_gateway.id)
        if nat is None or nat.state != "available":
            return False
        return has_default_route(backend, nat.vpc_id, nat.subnet_id, public=True)
    if str(route.gateway_id).startswith("igw-"):
        gateway = backend.internet_gateways.get(route.gateway_id)
        return public and gateway is not None and gateway.vpc is not None
    return True  # an instance, a transit gateway: the lab does not follow them


def _joined(table: Any) -> set[str]:
    return {str(item["SubnetId"]) for item in table.associations if "SubnetId" in item}
