"""How a subnet reaches AWS's services: by its route table, or by endpoints of its VPC.

Route tables and endpoints are as DescribeRouteTables and DescribeVpcEndpoints return them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal

_EVERYWHERE: Final = "0.0.0.0/0"

Kind = Literal["Interface", "Gateway"]


def tables_of(tables: Iterable[dict[str, Any]], subnet: str) -> list[dict[str, Any]]:
    """The route table of a subnet: its own, else the VPC's main one; none if neither is there.

    Args:
        tables: of the subnet's VPC.
        subnet: its id.
    """
    known = list(tables)
    own = [item for item in known if _is_joined(item, "SubnetId", subnet)]
    return own or [item for item in known if _is_joined(item, "Main", value=True)]


def leads_out(table: dict[str, Any], *, public: bool = False) -> bool:
    """Whether a route table has a default route that works.

    Args:
        table: of the subnet.
        public: whether its user has a public address: an internet gateway serves no other.
    """
    return any(
        route.get("DestinationCidrBlock") == _EVERYWHERE
        and route.get("State") != "blackhole"
        and (public or not str(route.get("GatewayId", "")).startswith("igw-"))
        for route in table.get("Routes", [])
    )


def endpoints_for(
    endpoints: Iterable[dict[str, Any]], service: str, kind: Kind | None = None
) -> list[dict[str, Any]]:
    """The endpoints that lead to a service, without those that are being made or deleted.

    Args:
        endpoints: of one VPC.
        service: as the names of its endpoints' services end, such as `s3` or `ecr.api`.
        kind: only endpoints of this kind.
    """
    return [
        item
        for item in endpoints
        if str(item.get("ServiceName", "")).endswith(f".{service}")
        and str(item.get("State", "available")).lower() == "available"
        and kind in {None, item.get("VpcEndpointType")}
    ]


def is_served(tables: Iterable[dict[str, Any]], gateways: Iterable[dict[str, Any]]) -> bool:
    """Whether one of the gateway endpoints is in one of the route tables."""
    served = {name for item in gateways for name in item.get("RouteTableIds", [])}
    return any(table.get("RouteTableId") in served for table in tables)


def groups_of(endpoints: Sequence[dict[str, Any]]) -> list[str]:
    """The ids of the endpoints' security groups."""
    return [str(group["GroupId"]) for item in endpoints for group in item.get("Groups", [])]


def _is_joined(table: dict[str, Any], name: str, value: object) -> bool:
    return any(item.get(name) == value for item in table.get("Associations", []))
