"""The names of the services that a VPC endpoint can lead to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from sm_proxy.aws import asking
from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError, printable
from sm_proxy.infra import partition

_SHOWN: Final = 60


def find(aws: Aws, names: Iterable[str], zones: Sequence[str] = ()) -> dict[str, str]:
    """The services' full names in the caller's region, as EC2 itself tells them.

    Args:
        aws: for the calls; its region counts.
        names: as the services' names end, such as `ssm` or `ecr.api`.
        zones: the zones in which there will be endpoints, if their services must be there.

    Returns:
        Full names such as `com.amazonaws.eu-west-1.ssm`, by name: of a gateway for `s3` and
        `dynamodb`, of an interface for others.

    Raises:
        SmProxyError: `usage`, the region or a zone lacks a service; or a call fails.
    """
    wanted = sorted(set(names))
    if not wanted:
        return {}
    pages = asking.pages(aws, "ec2", "DescribeVpcEndpointServices")
    offered = [item for page in pages for item in page.get("ServiceDetails", [])]
    return {name: _one(aws.region, name, zones, offered) for name in wanted}


def _one(region: str, name: str, zones: Sequence[str], offered: list[dict[str, Any]]) -> str:
    kind = "Gateway" if name in partition.GATEWAYS else "Interface"
    end = f".{region}.{name}"
    found = {
        str(item["ServiceName"]): item
        for item in offered
        if str(item.get("ServiceName", "")).endswith(end) and kind in _kinds(item)
    }
    if not found:
        what = f"the region {region} has no service {printable(name, _SHOWN)!r} for a VPC endpoint"
        raise SmProxyError("usage", f"{what} of the type {kind}", _hint(region, name, offered))
    full = min(found)
    there = found[full].get("AvailabilityZones") or list(zones)
    if kind == "Interface" and (missing := [zone for zone in zones if zone not in there]):
        what = f"{full} is not offered in {', '.join(missing)}"
        raise SmProxyError("usage", what, f"Use zones of these: {', '.join(sorted(there))}.")
    return full


def _hint(region: str, name: str, offered: list[dict[str, Any]]) -> str:
    """What the user may have meant: services whose names have a word in common."""
    middle = f".amazonaws.{region}."
    known = {str(item.get("ServiceName", "")).partition(middle)[2] for item in offered}
    near = sorted(item for item in known if set(item.split(".")) & set(name.split(".")))
    if near:
        return f"There is {', '.join(near[:8])}."
    return "`aws ec2 describe-vpc-endpoint-services` lists those that there are."


def _kinds(item: dict[str, Any]) -> set[str]:
    return {str(kind.get("ServiceType")) for kind in item.get("ServiceType", [])}
