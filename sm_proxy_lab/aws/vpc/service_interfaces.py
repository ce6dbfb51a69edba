"""The network interfaces of NAT gateways and endpoints, as EC2 shows them.

Moto gives them no owner, and an address outside their subnet.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any, Final

from sm_proxy_lab.aws.vpc import records

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sm_proxy_lab.aws.http.call import Call

_OPERATIONS: Final = {"CreateNatGateway", "CreateVpcEndpoint", "ModifyVpcEndpoint"}


def show(call: Call) -> None:
    """Complete the interfaces that the operation `call` has made."""
    if call.operation in _OPERATIONS:
        with records.opened(call.region) as backend:
            for interface, kind, text in _owned(backend):
                if interface.interface_type != kind:
                    _complete(interface, kind, text)


def _owned(backend: Any) -> Iterator[tuple[Any, str, str]]:
    """The interfaces of services: the interface, its type and its description."""
    for nat in backend.nat_gateways.values():
        yield nat._eni, "nat_gateway", f"Interface for NAT Gateway {nat.id}"  # noqa: SLF001 - moto
    for endpoint in backend.vpc_end_points.values():
        for name in endpoint.network_interface_ids or []:
            if name in backend.enis:
                yield backend.enis[name], "vpc_endpoint", f"VPC Endpoint Interface {endpoint.id}"


def _complete(interface: Any, kind: str, text: str) -> None:
    interface.interface_type, interface.description = kind, text
    interface.status, interface.requester_managed = "in-use", True
    subnet, address = interface.subnet, str(interface.private_ip_address)
    if ipaddress.ip_address(address) not in ipaddress.ip_network(subnet.cidr_block):
        own = subnet.get_available_subnet_ip(interface)
        interface.private_ip_address = own
        for item in interface.private_ip_addresses:
            if item["PrivateIpAddress"] == address:
                item["PrivateIpAddress"] = own
