"""The partition of a region, and the names of its endpoint services."""

from __future__ import annotations

from typing import Final

from sm_proxy.errors import SmProxyError, printable

MENU: Final = (
    *("ssm", "ssmmessages", "ec2messages", "logs", "ecr.api", "ecr.dkr", "sagemaker.api"),
    *("sts", "ec2", "kms", "monitoring"),
)
"""Interface endpoints that a stack can have: those of jobs, of the bastion, and of image builds."""
S3: Final = "s3"
"""The gateway endpoint, which is free."""
_PARTITIONS: Final = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}
_OTHER_NAME_IN_CHINA: Final = frozenset({"ec2", "ecr.api", "ecr.dkr", "sagemaker.api", "sts"})
"""aws-cdk's list, aws-ec2/lib/vpc-endpoint.ts; `deploy` asks AWS for the names instead."""


def partition_of(region: str) -> str:
    """`aws`, `aws-cn` or `aws-us-gov`."""
    found = (name for start, name in _PARTITIONS.items() if region.startswith(start))
    return next(found, "aws")


def service_names(region: str, names: tuple[str, ...]) -> dict[str, str]:
    """From names of the menu to the full names of services, without a call.

    Raises:
        SmProxyError: `usage`, a name is not in the menu.
    """
    for name in names:
        if name not in (*MENU, S3):
            raise SmProxyError(
                "usage",
                f"{printable(name, 60)!r} is not an endpoint that a stack can have",
                f"Use some of {', '.join(MENU)}; {S3} is always there.",
            )
    return {name: _full_name(region, name) for name in names}


def _full_name(region: str, name: str) -> str:
    chinese = partition_of(region) == "aws-cn" and name in _OTHER_NAME_IN_CHINA
    return f"{'cn.' if chinese else ''}com.amazonaws.{region}.{name}"
