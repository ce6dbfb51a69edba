"""What the user wants the stack to have, checked once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final, Literal, TypeAlias

from sm_proxy.aws import stack_names
from sm_proxy.errors import SmProxyError, printable
from sm_proxy.infra import partition

Nat: TypeAlias = Literal["one", "per-zone", "none"]
NATS: Final[tuple[Nat, ...]] = ("one", "per-zone", "none")
_ZONES: Final = range(2, 7)
"""The address plan has room for eight zones; no region has more than six."""
_DAYS: Final = range(7, 366)
"""Of MaxInstanceLifetime (Amazon EC2 Auto Scaling User Guide: 86,400 to 31,536,000 seconds)."""
_STACK: Final = re.compile(r"[a-z](?:[a-z0-9-]{0,33}[a-z0-9])?")
"""The bucket's name begins with it, and has 63 characters at most."""
_ZONE: Final = re.compile(r"[a-z]{2}(?:-[a-z]+)+-\d+[a-z]")
_INSTANCE_TYPE: Final = re.compile(r"[a-z][a-z0-9-]*\.[a-z0-9-]+")
_ARM: Final = re.compile(r"(?:a1|[a-z]+\d+g[a-z]*)\.")
"""Families of Graviton processors have a `g` after the generation: t4g, m7gd, c6gn."""
_VPC: Final = re.compile(r"vpc-(?:[0-9a-f]{8}|[0-9a-f]{17})")
_SUBNET: Final = re.compile(r"subnet-(?:[0-9a-f]{8}|[0-9a-f]{17})")
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX: Final = re.compile(r"10\.(\d{1,3})|172\.(1[6-9]|2\d|3[01])|192\.168")


@dataclass(frozen=True)
class Existing:
    """A VPC that is there already.

    Attributes:
        vpc_id: `vpc-...`
        subnets: the private subnets of the jobs and of the bastion, `subnet-...`.
    """

    vpc_id: str
    subnets: tuple[str, ...]

    def __post_init__(self) -> None:
        """Raises SmProxyError: `usage`."""
        if not _VPC.fullmatch(self.vpc_id):
            raise _usage(f"{self.vpc_id!r} is not the id of a VPC", "Use one such as vpc-0a1b2c3d.")
        wrong = [name for name in self.subnets if not _SUBNET.fullmatch(name)]
        if wrong or not self.subnets:
            raise _usage(
                f"{wrong[0]!r} is not the id of a subnet" if wrong else "there is no subnet",
                "Name private subnets of the VPC: --subnets subnet-0a1b2c3d,subnet-1a2b3c4d.",
            )


@dataclass(frozen=True)
class Plan:
    """One stack.

    Attributes:
        region: where it is made.
        zones: 2 to 6 names of availability zones; empty with `existing`.
        nat: one NAT gateway for all zones, one in each, or none.
        endpoints: from the name in the menu to the full name of the service, such as
            {"ssm": "com.amazonaws.eu-west-1.ssm"}; those of `partition.GATEWAYS` are
            gateways, all others interfaces.
        prefix: the first two octets of the VPC's addresses.
        bastion_type: the instance type of the bastion.
        bastion_days: after how many days the bastion is replaced by a new one.
        stack: the stack's name, with which the names of its resources begin.
        existing: the VPC to use; None makes one.
        data_buckets: buckets of the jobs' data, besides the stack's and the SageMaker SDKs'.
    """

    region: str
    zones: tuple[str, ...] = ()
    nat: Nat = "one"
    endpoints: Mapping[str, str] = field(default_factory=dict)
    prefix: str = "10.0"
    bastion_type: str = "t4g.nano"
    bastion_days: int = 30
    stack: str = stack_names.DEFAULT
    existing: Existing | None = None
    data_buckets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raises SmProxyError: `usage`, with what to write instead."""
        if not _STACK.fullmatch(self.stack):
            raise _usage(
                f"{self.stack!r} cannot be the stack's name",
                "Use up to 35 lower-case letters, digits and hyphens, beginning with a letter.",
            )
        if not _INSTANCE_TYPE.fullmatch(self.bastion_type):
            raise _usage(
                f"{self.bastion_type!r} is not an instance type", "Use one such as t4g.nano."
            )
        if self.bastion_days not in _DAYS:
            raise _usage(
                f"the bastion cannot be replaced every {self.bastion_days} days",
                f"Use {_DAYS[0]} to {_DAYS[-1]} days.",
            )
        for name in self.data_buckets:
            check_bucket(name)
        if self.existing is None:
            self._check_network()

    def _check_network(self) -> None:
        if len(self.zones) not in _ZONES or len(set(self.zones)) != len(self.zones):
            raise _usage(
                f"{len(set(self.zones))} availability zones cannot be used",
                f"Name {_ZONES[0]} to {_ZONES[-1]} different ones.",
            )
        strangers = [name for name in self.zones if not self._has(name)]
        if strangers:
            raise _usage(
                f"{strangers[0]!r} is not an availability zone of {self.region}",
                f"Use names such as {self.region}a.",
            )
        octet = _PREFIX.fullmatch(self.prefix)
        if octet is None or int(octet[1] or 0) > 255:
            raise _usage(
                f"the VPC cannot have the addresses {self.prefix}.0.0/16",
                "Use a private range: --cidr 10.0.0.0/16, 172.16.0.0/16 or 192.168.0.0/16.",
            )
        if self.nat == "none" and not set(partition.SMALLEST) <= set(self.endpoints):
            raise _usage(
                "without a NAT gateway, the bastion cannot reach Session Manager",
                f"Add --endpoints {','.join(partition.SMALLEST)}.",
            )

    def _has(self, zone: str) -> bool:
        return zone.startswith(self.region) and bool(_ZONE.fullmatch(zone))

    @classmethod
    def of_data(cls, data: Mapping[str, Any]) -> Plan:
        """The plan from the result of `as_data`, without members that this version does not know.

        Raises:
            SmProxyError: `usage`, a value is wrong.
        """
        names = {item.name for item in fields(cls)}
        try:
            known = {name: _frozen(value) for name, value in data.items() if name in names}
            if place := known.get("existing"):
                known["existing"] = Existing(place["vpc_id"], tuple(place["subnets"]))
            return cls(**known)
        except (AttributeError, KeyError, SmProxyError, TypeError) as error:
            raise _usage(
                f"this sm-proxy cannot read the plan in the template of the stack: {error}",
                "Was it changed by hand? Use the version of sm-proxy that made the stack, or"
                " `sm-proxy infra delete`, which needs no plan.",
            ) from None

    def as_data(self) -> dict[str, Any]:
        """The plan in JSON, for the template's Metadata, where CloudFormation takes no null."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @property
    def architecture(self) -> Literal["arm64", "x86_64"]:
        """The processor of the bastion's instance type."""
        return "arm64" if _ARM.match(self.bastion_type) else "x86_64"

    @property
    def nat_gateways(self) -> int:
        """How many NAT gateways there are."""
        if self.existing is not None or self.nat == "none":
            return 0
        return len(self.zones) if self.nat == "per-zone" else 1

    @property
    def endpoint_zones(self) -> int:
        """In how many zones each interface endpoint is: AWS bills each of them.

        One zone serves the whole VPC. `per-zone` is for those who want no zone to need another. In
        an existing VPC, we do not know which subnets are in one zone, and an endpoint may have one
        subnet in each.
        """
        return len(self.zones) if self.existing is None and self.nat == "per-zone" else 1


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def check_bucket(name: str) -> None:
    """Refuse what is not the name of a bucket.

    Raises:
        SmProxyError: `usage`.
    """
    if not _BUCKET.fullmatch(name):
        what = f"{printable(name, 80)!r} is not the name of a bucket"
        raise _usage(what, "Leave s3:// and folders out.")


def _usage(what: str, next_step: str) -> SmProxyError:
    return SmProxyError("usage", printable(what), next_step)
