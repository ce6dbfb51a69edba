"""The VPC: subnets, routes, NAT gateways, and the gateway endpoint for S3.

Zone i, from 0, has the public addresses PREFIX.(16*i).0/20 and the private ones
PREFIX.(128+16*i).0/20.
"""

from __future__ import annotations

from typing import Any, Final

from sm_proxy.infra import partition
from sm_proxy.infra.parts.resource import (
    Resources,
    attribute,
    logical_name,
    name_tag,
    ref,
    resource,
    sub,
)
from sm_proxy.infra.plan import Plan

_STEP: Final = 16
"""A /20 has 16 times 256 addresses."""
_PRIVATE: Final = 128
_EVERYWHERE: Final = "0.0.0.0/0"


def private_subnets(plan: Plan) -> tuple[Any, ...]:
    """References to the private subnets, or the ids of the user's."""
    if plan.existing is not None:
        return plan.existing.subnets
    return tuple(ref(f"PrivateSubnet{number}") for number in _numbers(plan))


def vpc(plan: Plan) -> Any:
    """A reference to the VPC, or the id of the user's."""
    return ref("Vpc") if plan.existing is None else plan.existing.vpc_id


def way_out(plan: Plan) -> list[str]:
    """The resources without which the bastion does not reach Session Manager when it starts."""
    if plan.existing is not None:
        return []
    if plan.nat == "none":
        return ["SsmEndpoint", "SsmmessagesEndpoint"]
    routes = [f"PrivateDefaultRoute{suffix}" for suffix in _suffixes(plan)]
    return [*routes, *(f"PrivateSubnet{number}Routes" for number in _numbers(plan))]


def resources(plan: Plan) -> Resources:
    """All parts of the network; none of them if the VPC exists."""
    if plan.existing is not None:
        return {}
    found: Resources = {
        "Vpc": resource(
            "EC2::VPC",
            {
                "CidrBlock": sub("${Prefix}.0.0/16"),
                "EnableDnsSupport": True,
                "EnableDnsHostnames": True,
                "Tags": name_tag("vpc"),
            },
        )
    }
    if plan.nat != "none":
        found |= _public(plan)
    return found | _private(plan) | _gateways(plan)


def _public(plan: Plan) -> Resources:
    """What NAT gateways need. No subnet gives public addresses to what starts in it."""
    internet = "InternetGatewayAttachment"
    found: Resources = {
        "InternetGateway": resource("EC2::InternetGateway", {"Tags": name_tag("internet")}),
        internet: resource(
            "EC2::VPCGatewayAttachment",
            {"VpcId": ref("Vpc"), "InternetGatewayId": ref("InternetGateway")},
        ),
        "PublicRoutes": _route_table("public"),
        "PublicDefaultRoute": resource(
            "EC2::Route",
            {
                "RouteTableId": ref("PublicRoutes"),
                "DestinationCidrBlock": _EVERYWHERE,
                "GatewayId": ref("InternetGateway"),
            },
            [internet],
        ),
    }
    for number, zone in enumerate(plan.zones, 1):
        name = f"PublicSubnet{number}"
        found[name] = _subnet(zone, f"public-{number}", _STEP * (number - 1))
        found[f"{name}Routes"] = _association(name, "PublicRoutes")
    for number, suffix in enumerate(_suffixes(plan), 1):
        found[f"NatAddress{suffix}"] = resource(
            "EC2::EIP", {"Domain": "vpc", "Tags": name_tag(f"nat{suffix}")}, [internet]
        )
        found[f"NatGateway{suffix}"] = resource(
            "EC2::NatGateway",
            {
                "AllocationId": attribute("AllocationId", f"NatAddress{suffix}"),
                "SubnetId": ref(f"PublicSubnet{number}"),
                "Tags": name_tag(f"nat{suffix}"),
            },
            ["PublicDefaultRoute", f"PublicSubnet{number}Routes"],
        )
    return found


def _private(plan: Plan) -> Resources:
    found: Resources = {}
    for suffix in _suffixes(plan):
        found[f"PrivateRoutes{suffix}"] = _route_table(f"private{suffix}")
        if plan.nat != "none":
            found[f"PrivateDefaultRoute{suffix}"] = resource(
                "EC2::Route",
                {
                    "RouteTableId": ref(f"PrivateRoutes{suffix}"),
                    "DestinationCidrBlock": _EVERYWHERE,
                    "NatGatewayId": ref(f"NatGateway{suffix}"),
                },
            )
    for number, zone in enumerate(plan.zones, 1):
        name = f"PrivateSubnet{number}"
        suffix = str(number) if plan.nat == "per-zone" else ""
        found[name] = _subnet(zone, f"private-{number}", _PRIVATE + _STEP * (number - 1))
        found[f"{name}Routes"] = _association(name, f"PrivateRoutes{suffix}")
    return found


def _gateways(plan: Plan) -> Resources:
    """Free of charge, while data through a NAT gateway is billed."""
    tables = [ref(f"PrivateRoutes{suffix}") for suffix in _suffixes(plan)]
    return {
        f"{logical_name(name)}Endpoint": resource(
            "EC2::VPCEndpoint",
            {
                "VpcEndpointType": "Gateway",
                "ServiceName": full,
                "VpcId": ref("Vpc"),
                "RouteTableIds": tables,
            },
        )
        for name, full in plan.endpoints.items()
        if name in partition.GATEWAYS
    }


def _route_table(name: str) -> dict[str, Any]:
    return resource("EC2::RouteTable", {"VpcId": ref("Vpc"), "Tags": name_tag(name)})


def _subnet(zone: str, name: str, third_octet: int) -> dict[str, Any]:
    return resource(
        "EC2::Subnet",
        {
            "VpcId": ref("Vpc"),
            "AvailabilityZone": zone,
            "CidrBlock": sub(f"${{Prefix}}.{third_octet}.0/20"),
            "MapPublicIpOnLaunch": False,
            "Tags": name_tag(name),
        },
    )


def _association(subnet: str, routes: str) -> dict[str, Any]:
    return resource(
        "EC2::SubnetRouteTableAssociation",
        {"SubnetId": ref(subnet), "RouteTableId": ref(routes)},
    )


def _numbers(plan: Plan) -> range:
    return range(1, len(plan.zones) + 1)


def _suffixes(plan: Plan) -> tuple[str, ...]:
    """One private route table and NAT gateway for each of them."""
    return tuple(map(str, _numbers(plan))) if plan.nat == "per-zone" else ("",)
