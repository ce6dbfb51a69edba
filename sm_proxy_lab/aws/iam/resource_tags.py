"""The tags of resources that moto keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sm_proxy_lab.aws import moto_app
from sm_proxy_lab.aws.http.call import ACCOUNT

if TYPE_CHECKING:
    from sm_proxy_lab.aws.http.call import Call


def of(call: Call, arn: str) -> dict[str, str]:
    """Key -> value of each tag of a resource; none if it has none or is not known."""
    service = arn.split(":")[2] if arn.startswith("arn:") else ""
    find = {"ec2": _of_ec2, "iam": _of_iam}.get(service)
    if find is None or arn.endswith("*"):
        return {}
    with moto_app.LOCK:
        return find(call, arn)


def _of_ec2(call: Call, arn: str) -> dict[str, str]:
    from moto.ec2.models import ec2_backends  # noqa: PLC0415

    tags: Any = ec2_backends[ACCOUNT][call.region].tags
    return dict(tags.get(arn.rpartition("/")[2], {}))


def _of_iam(call: Call, arn: str) -> dict[str, str]:
    from moto.iam.models import iam_backends  # noqa: PLC0415

    for role in iam_backends[ACCOUNT][call.partition].roles.values():
        if role.arn == arn:
            return {tag["Key"]: tag["Value"] for tag in role.tags}
    return {}
