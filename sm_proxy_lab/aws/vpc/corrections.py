"""Corrects moto's records before and after a call, where EC2's would differ.

Moto keeps the interfaces of deleted NAT gateways and terminated instances, and deleted endpoints.
When an endpoint moves to other subnets or route tables, moto changes neither interfaces nor routes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sm_proxy_lab.aws.http.ec2 import listed
from sm_proxy_lab.aws.vpc import records

if TYPE_CHECKING:
    from sm_proxy_lab.aws.http.call import Call

_ENDINGS: Final = {"DeleteNatGateway", "DeleteVpcEndpoints", "TerminateInstances"}


def before(call: Call) -> None:
    """Let endpoints forget route tables that are gone: moto fails on them."""
    if call.operation == "DeleteVpcEndpoints":
        with records.opened(call.region) as backend:
            for name in listed(call.params, "VpcEndpointId"):
                _settle(backend, backend.vpc_end_points.get(name))


def after(call: Call) -> None:
    """Correct what the operation `call` has left."""
    with records.opened(call.region) as backend:
        if call.operation == "ModifyVpcEndpoint":
            _settle(backend, backend.vpc_end_points.get(call.params.get("VpcEndpointId")))
        if call.operation in _ENDINGS:
            _let_addresses_go(backend)
            for name, item in list(backend.vpc_end_points.items()):
                if item.state == "deleted":
                    del backend.vpc_end_points[name]
            for name, interface in list(backend.enis.items()):
                if interface.instance is not None and interface.instance.state == "terminated":
                    del backend.enis[name]


def _let_addresses_go(backend: Any) -> None:
    """Free the addresses of deleted NAT gateways. These stay, as EC2 shows them for an hour."""
    for gateway in backend.nat_gateways.values():
        interface = gateway._eni  # noqa: SLF001 - moto has no other way to it
        if gateway.state == "deleted" and backend.enis.pop(interface.id, None):
            for address in backend.addresses:
                if address.eni is interface:
                    address.eni = address.association_id = None


def _settle(backend: Any, endpoint: Any) -> None:
    """Give an endpoint its interfaces, or its routes."""
    if endpoint is None or endpoint.state == "deleted":
        return
    if str(endpoint.vpc_endpoint_type).lower() == "interface":
        _settle_interfaces(backend, endpoint)
        return
    wanted = [name for name in endpoint.route_table_ids if name in backend.route_tables]
    endpoint.route_table_ids, target = wanted, endpoint.destination_prefix_list_id
    for name, table in backend.route_tables.items():
        routes = {route.destination_prefix_list.id for route in _listed(table)}
        if name in wanted and target and target not in routes:
            backend.create_route(
                name, None, gateway_id=endpoint.id, destination_prefix_list_id=target
            )
        elif name not in wanted and table.vpc_id == endpoint.vpc_id and target in routes:
            backend.delete_route(name, target)


def _listed(table: Any) -> list[Any]:
    """The routes of a table that lead to a prefix list."""
    return [route for route in table.routes if route.destination_prefix_list]


def _settle_interfaces(backend: Any, endpoint: Any) -> None:
    """An interface in each subnet, and nowhere else; `service_interfaces` gives it an address."""
    from moto.ec2.utils import random_private_ip  # noqa: PLC0415 - loaded anyway

    there = {
        backend.enis[name].subnet.id: name
        for name in endpoint.network_interface_ids
        if name in backend.enis
    }
    for subnet in set(there) - set(endpoint.subnet_ids):
        del backend.enis[there.pop(subnet)]
    for subnet in sorted(set(endpoint.subnet_ids) - set(there)):
        there[subnet] = backend.create_network_interface(subnet, random_private_ip()).id
    endpoint.network_interface_ids = list(there.values())
