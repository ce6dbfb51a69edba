"""Refuses to make what lacks something that EC2 demands: moto would make it.

So a template that forgets in which order its resources need each other fails here, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sm_proxy_lab.aws.http.errors import AwsError
from sm_proxy_lab.aws.vpc import records

if TYPE_CHECKING:
    from collections.abc import Callable

    from sm_proxy_lab.aws.http.call import Call

ADDRESSES: Final = 5
"""Elastic IP addresses of a new account, in each region: Amazon VPC User Guide, "VPC quotas"."""


def check(call: Call, addresses: int) -> None:
    """Refuse a call without its prerequisite.

    Args:
        call: the call.
        addresses: how many Elastic IP addresses the account may have in a region.

    Raises:
        AwsError: The refusal.
    """
    if call.operation == "AllocateAddress":
        with records.opened(call.region) as backend:
            if len(backend.addresses) >= addresses:
                message = "The maximum number of addresses has been reached."
                raise AwsError("AddressLimitExceeded", message)
    elif call.operation in _CHECKS:
        with records.opened(call.region) as backend:
            _CHECKS[call.operation](backend, call.params)


def _nat_gateway(backend: Any, params: dict[str, Any]) -> None:
    """EC2 accepts it, and lets it fail a little later with this code and message."""
    zones = (zone.get(params.get("SubnetId")) for zone in backend.subnets.values())
    place = next(filter(None, zones), None)
    public = params.get("ConnectivityType", "public") == "public"
    if public and place is not None and place.vpc_id not in _attached(backend).values():
        message = f"Network {place.vpc_id} has no Internet gateway attached"
        raise AwsError("Gateway.NotAttached", message)


def _route(backend: Any, params: dict[str, Any]) -> None:
    gateway = str(params.get("GatewayId", ""))
    table = backend.route_tables.get(params.get("RouteTableId"))
    if table is None or gateway not in backend.internet_gateways:
        return
    if _attached(backend).get(gateway) != table.vpc_id:
        words = f"route table {table.id} and network gateway {gateway} belong to different networks"
        raise AwsError("InvalidParameterValue", words)


def _endpoint(backend: Any, params: dict[str, Any]) -> None:
    vpc = backend.vpcs.get(params.get("VpcId"))
    if vpc is None or str(params.get("PrivateDnsEnabled", "")).lower() != "true":
        return
    switches = (vpc.enable_dns_support, vpc.enable_dns_hostnames)
    if not all(str(switch).lower() == "true" for switch in switches):
        raise AwsError(
            "InvalidParameter",
            "Enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC "
            f"attributes set to true for {vpc.id}",
        )


def _attached(backend: Any) -> dict[str, str]:
    """The internet gateways that are attached, and their VPCs."""
    gateways = backend.internet_gateways.values()
    return {str(item.id): str(item.vpc.id) for item in gateways if item.vpc}


_CHECKS: Final[dict[str, Callable[[Any, dict[str, Any]], None]]] = {
    "CreateNatGateway": _nat_gateway,
    "CreateRoute": _route,
    "CreateVpcEndpoint": _endpoint,
    "ReplaceRoute": _route,
}
