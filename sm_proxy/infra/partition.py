"""The partition of a region, and the names of services for endpoints without a call."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sm_proxy.errors import SmProxyError, printable

SMALLEST: Final = ("ssm", "ssmmessages")
"""What the agent of a bastion needs. It prefers ssmmessages to ec2messages (Systems Manager User
Guide, SSM Agent)."""
MENU: Final = (
    *(*SMALLEST, "ec2messages", "logs", "ecr.api", "ecr.dkr", "sagemaker.api", "sts", "ec2"),
    *("kms", "monitoring"),
)
"""Interface endpoints for what the bastion, jobs and image builds call."""
S3: Final = "s3"
GATEWAYS: Final = frozenset({"dynamodb", S3})
"""Their gateway endpoints cost nothing (AWS PrivateLink Guide, Gateway endpoints)."""
_PARTITIONS: Final = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}
_OTHER_NAME_IN_CHINA: Final = frozenset({"ec2", "ecr.api", "ecr.dkr", "sagemaker.api", "sts"})
"""aws-cdk's list, aws-ec2/lib/vpc-endpoint.ts; `services.find` asks AWS instead."""


def partition_of(region: str) -> str:
    """`aws`, `aws-cn` or `aws-us-gov`."""
    found = (name for start, name in _PARTITIONS.items() if region.startswith(start))
    return next(found, "aws")


def service_names(region: str, names: Iterable[str]) -> dict[str, str]:
    """From names of the menu to the full names of services.

    Raises:
        SmProxyError: `usage`, a name is not in the menu.
    """
    wanted = tuple(names)
    for name in wanted:
        if name not in (*MENU, *GATEWAYS):
            raise SmProxyError(
                "usage",
                f"{printable(name, 60)!r} is not an endpoint whose full name we know",
                f"Use some of {', '.join(MENU)}.",
            )
    return {name: _full_name(region, name) for name in wanted}


def _full_name(region: str, name: str) -> str:
    chinese = partition_of(region) == "aws-cn" and name in _OTHER_NAME_IN_CHINA
    return f"{'cn.' if chinese else ''}com.amazonaws.{region}.{name}"
