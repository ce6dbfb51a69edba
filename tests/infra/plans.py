"""Plans for the tests: every value of every option at least once."""

from __future__ import annotations

from typing import Any, Final

from sm_proxy.infra import partition, template
from sm_proxy.infra.plan import Existing, Plan

EXISTING: Final = Existing("vpc-0a1b2c3d", ("subnet-0a1b2c3d", "subnet-1a2b3c4d"))
REGIONS: Final = ("us-east-1", "eu-west-1", "cn-north-1", "us-gov-west-1")
ZONES: Final = (2, 3, 4, 6)


def plan(
    zones: int = 2, endpoints: tuple[str, ...] = (), region: str = "eu-west-1", **more: Any
) -> Plan:
    """A plan of a region's first zones."""
    gateway = () if more.get("existing") else ("s3",)
    return Plan(
        region,
        () if more.get("existing") else tuple(f"{region}{c}" for c in "abcdef"[:zones]),
        endpoints=partition.service_names(region, (*gateway, *endpoints)),
        **more,
    )


LARGEST: Final = plan(6, (*partition.MENU, "dynamodb"), nat="per-zone")
VARIED: Final[dict[str, Plan]] = {
    "one NAT gateway": plan(2, region="us-east-1"),
    "no NAT gateway": plan(3, partition.SMALLEST, nat="none", prefix="172.16"),
    "China, all endpoints": plan(4, partition.MENU, "cn-north-1", nat="per-zone", stack="research"),
    "GovCloud, six zones": plan(
        6, ("logs", "dynamodb"), "us-gov-west-1", bastion_type="t3.nano", data_buckets=("data-1",)
    ),
    "an existing VPC": plan(endpoints=("ssm",), existing=EXISTING),
}


def resources(made: Plan) -> dict[str, dict[str, Any]]:
    """The resources of a plan's template."""
    found: dict[str, dict[str, Any]] = template.render(made)["Resources"]
    return found
