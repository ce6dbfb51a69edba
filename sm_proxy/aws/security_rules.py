"""What the rules of security groups allow. A group is as DescribeSecurityGroups returns it."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any, Final, Literal

Way = Literal["in", "out"]
_RULES: Final[dict[Way, str]] = {"in": "IpPermissions", "out": "IpPermissionsEgress"}


def lets(
    way: Way,
    rules: dict[str, dict[str, Any]],
    groups: Sequence[str],
    *,
    port: int,
    address: str,
    peers: Sequence[str],
) -> bool:
    """Whether one of the groups lets TCP in from, or out to, `address` or the groups `peers`.

    Args:
        way: seen from the groups.
        rules: the groups, by id.
        groups: the ids of those that count.
        port: to which the connection goes.
        address: of the other side.
        peers: groups of the other side.
    """
    return any(
        allows(rule, port, address, peers)
        for group in groups
        for rule in rules.get(group, {}).get(_RULES[way], [])
    )


def allows(rule: dict[str, Any], port: int, address: str, peers: Sequence[str]) -> bool:
    """Whether one rule allows TCP to `port`, from or to `address` or the groups `peers`.

    A prefix list is taken as allowing: it may contain the address. The tunnel check will show it.
    """
    if str(rule.get("IpProtocol")) not in {"-1", "tcp", "6"}:
        return False
    ranged = str(rule.get("IpProtocol")) != "-1" and rule.get("FromPort") is not None
    if ranged and not int(rule["FromPort"]) <= port <= int(rule["ToPort"]):
        return False
    blocks = [item["CidrIp"] for item in rule.get("IpRanges", [])]
    blocks += [item["CidrIpv6"] for item in rule.get("Ipv6Ranges", [])]
    if any(is_within(address, block) for block in blocks):
        return True
    if any(item.get("GroupId") in peers for item in rule.get("UserIdGroupPairs", [])):
        return True
    return bool(rule.get("PrefixListIds"))


def is_within(address: str, block: str) -> bool:
    """Whether an address is in a block; False if one of them cannot be parsed."""
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(block, strict=False)
    except ValueError:
        return False
