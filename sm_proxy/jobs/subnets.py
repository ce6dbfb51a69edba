"""Choose a container address that we may connect to: only one inside the job's own subnets.

A log line can claim any address. Without this check, a log could make the bastion connect to the
metadata service, to its own host or to another machine of the account.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Subnets:
    """The job's subnets: their VPC and their address ranges."""

    vpc_id: str
    networks: tuple[_Network, ...]


def describe_subnets(aws: Aws, subnet_ids: Iterable[str]) -> Subnets:
    """Look the job's subnets up.

    Raises:
        SmProxyError: the call failed, or `no-vpc` if the subnets are gone.
    """
    ids = list(subnet_ids)
    try:
        answer = aws.call("ec2", "DescribeSubnets", SubnetIds=ids)
    except ServiceError as error:
        if error.error == "InvalidSubnetID.NotFound":
            raise _gone(error.message) from None
        raise error.as_failure() from None
    found = answer.get("Subnets", [])
    if not found:
        raise _gone(f"{', '.join(ids)} not found")
    blocks = [item["CidrBlock"] for item in found] + [
        block["Ipv6CidrBlock"]
        for item in found
        for block in item.get("Ipv6CidrBlockAssociationSet", [])
        if block.get("Ipv6CidrBlockState", {}).get("State", "associated") == "associated"
    ]
    networks = tuple(ipaddress.ip_network(block) for block in blocks)
    return Subnets(str(found[0]["VpcId"]), networks)


def describe_if_allowed(aws: Aws, subnet_ids: Iterable[str]) -> Subnets | None:
    """Look the job's subnets up; None if there are none, they are gone, or the call is denied.

    Raises:
        SmProxyError: the call failed otherwise.
    """
    ids = list(subnet_ids)
    try:
        return describe_subnets(aws, ids) if ids else None
    except SmProxyError as error:
        if error.code not in {"no-vpc", "access-denied"}:
            raise
        return None


def _gone(message: str) -> SmProxyError:
    """The error for missing subnets: the owner of a shared VPC can stop sharing them."""
    return SmProxyError(
        "no-vpc",
        f"the job's subnets are gone, or no longer shared with this account: {message}",
        "Submit the job again with subnets that exist, or ask the owner of a shared VPC to share "
        "them again.",
    )


def address_refused(addresses: Iterable[str], subnets: Subnets) -> SmProxyError:
    """The error for a log that claims only addresses outside the job's subnets."""
    claimed = [str(ipaddress.ip_address(address)) for address in addresses]
    ranges = ", ".join(map(str, subnets.networks))
    return SmProxyError(
        "address-refused",
        f"the log claims the address {', '.join(claimed[:4])}, which is not in the job's subnets"
        f" ({ranges})",
        "We only connect to addresses in the job's subnets. Check what the container prints.",
    )


def first_inside(addresses: Iterable[str], subnets: Subnets, *, allow_loopback: bool) -> str | None:
    """The first address that lies in the job's subnets, if one does."""
    for address in map(ipaddress.ip_address, addresses):
        if _allowed(address, subnets, allow_loopback=allow_loopback):
            return str(address)
    return None


def _allowed(address: _Address, subnets: Subnets, *, allow_loopback: bool) -> bool:
    if address.is_loopback:
        return allow_loopback
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        return False
    return any(address in network for network in subnets.networks)
