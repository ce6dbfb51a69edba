"""The resources of a call to EC2.

EC2 decides about its Describe operations without resources. Other operations need their action on
each resource that they name, and on the one that they make.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from sm_proxy_lab.aws import moto_app
from sm_proxy_lab.aws.http.call import ACCOUNT

if TYPE_CHECKING:
    from sm_proxy_lab.aws.http.call import Call

_MADE: Final = {
    "AllocateAddress": "elastic-ip",
    "CreateInternetGateway": "internet-gateway",
    "CreateLaunchTemplate": "launch-template",
    "CreateNatGateway": "natgateway",
    "CreateRouteTable": "route-table",
    "CreateSecurityGroup": "security-group",
    "CreateSubnet": "subnet",
    "CreateVpc": "vpc",
    "CreateVpcEndpoint": "vpc-endpoint",
    "RunInstances": "instance",
}
_KINDS: Final = {
    "eipalloc": "elastic-ip",
    "eni": "network-interface",
    "i": "instance",
    "igw": "internet-gateway",
    "lt": "launch-template",
    "nat": "natgateway",
    "rtb": "route-table",
    "sg": "security-group",
    "subnet": "subnet",
    "vpc": "vpc",
    "vpce": "vpc-endpoint",
}
"""The prefix of an id -> the type in its ARN."""
_ID: Final = re.compile(r"([a-z]+)-[0-9a-f]{8,}")
_TOP: Final = re.compile(r"\w+(\.\d+)?")
_ROUTES: Final = ("CreateRoute", "ReplaceRoute", "DeleteRoute")
"""They need the route table only, whatever the route leads to."""


def resources(call: Call) -> Iterator[str]:
    """The ARNs that a call needs its action on; `*` for one that names none."""
    if call.operation.startswith("Describe"):
        yield "*"
        return
    found = [*_named(call), *_of_launch(call)]
    if call.operation in _MADE:
        yield call.arn("ec2", f"{_MADE[call.operation]}/*")
    elif not found:
        yield "*"
    yield from dict.fromkeys(found)


def tagged(call: Call) -> Iterator[str]:
    """The new resources that the call tags, which needs ec2:CreateTags."""
    kinds = {
        value
        for name, value in call.params.items()
        if re.fullmatch(r"TagSpecification\.\d+\.ResourceType", name)
    }
    for kind in sorted(kinds):
        yield call.arn("ec2", f"{kind}/*")


def roles(call: Call) -> Iterator[str]:
    """The roles of the instance profile that RunInstances names."""
    from moto.iam.models import iam_backends  # noqa: PLC0415

    named = {call.params.get(f"IamInstanceProfile.{part}") for part in ("Name", "Arn")} - {None}
    if not named:
        return
    with moto_app.LOCK:
        profiles = list(iam_backends[ACCOUNT][call.partition].instance_profiles.values())
    for profile in profiles:
        if named & {profile.name, profile.arn}:
            yield from (role.arn for role in profile.roles)


def _of_launch(call: Call) -> Iterator[str]:
    """What RunInstances needs beside the instance and what has an id in the request.

    Source: Service Authorization Reference, Amazon EC2, RunInstances. An image has no account.
    """
    if call.operation != "RunInstances":
        return
    if image := call.params.get("ImageId"):
        yield f"arn:{call.partition}:ec2:{call.region}::image/{image}"
    yield call.arn("ec2", "network-interface/*")
    yield call.arn("ec2", "volume/*")
    if key := call.params.get("KeyName"):
        yield call.arn("ec2", f"key-pair/{key}")


def _named(call: Call) -> Iterator[str]:
    for name, value in call.params.items():
        found = _ID.fullmatch(str(value))
        if not found or found[1] not in _KINDS or not _TOP.fullmatch(name):
            continue
        if call.operation in _ROUTES and name != "RouteTableId":
            continue
        yield call.arn("ec2", f"{_KINDS[found[1]]}/{value}")
