"""What a stack costs an hour, by a dated table of prices that the user can replace."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sm_proxy.errors import SmProxyError, printable
from sm_proxy.infra import partition
from sm_proxy.infra.plan import Plan

DATE: Final = "2026-11-28"
HOURS_A_MONTH: Final = 730
PRICES: Final[Mapping[str, tuple[str, float]]] = {
    "nat": ("NAT gateway", 0.045),
    "address": ("public IPv4 address of a NAT gateway", 0.005),
    "endpoint": ("interface endpoint in one zone", 0.01),
    "bastion": ("bastion", 0.0042),
    "disk": ("disk of the bastion, 8 GB of gp3", 0.0009),
}
"""What each costs an hour in us-east-1, in US dollars, as pages of third parties stated it in 2026;
that endpoints are billed by zone and started hour is on AWS's page of PrivateLink prices. The price
of the bastion is that of a t4g.nano."""
_INSTANCES: Final = {"t4g.nano": PRICES["bastion"][1], "t3.nano": 0.0052}
"""The types whose price we know: that of t3.nano is AWS's of on-demand Linux in us-east-1."""
_BASIS: Final = (
    f"prices of us-east-1 as of {DATE}, not asked from AWS; other regions differ: replace one with"
    f" --price NAME=USD, NAME one of {', '.join(PRICES)}"
)
_CHINA: Final = (
    "AWS bills regions in China in yuan by another price list, so these are a rough idea"
)
_DEAREST: Final = 1e6
"""US dollars an hour; sums of larger numbers could overflow."""
_SHOWN: Final = 40


@dataclass(frozen=True)
class Line:
    """One kind of thing that is billed by the hour.

    Attributes:
        name: for people.
        count: how many there are; an endpoint counts in each zone.
        usd_per_hour: the price of one, in US dollars; None if we do not know it.
    """

    name: str
    count: int
    usd_per_hour: float | None

    @property
    def text(self) -> str:
        """`3 x NAT gateway at $0.0450 = $0.1350 an hour`."""
        if self.usd_per_hour is None:
            return f"{self.count} x {self.name} at an unknown price"
        total = self.count * self.usd_per_hour
        return f"{self.count} x {self.name} at ${self.usd_per_hour:.4f} = ${total:.4f} an hour"


@dataclass(frozen=True)
class Cost:
    """What an idle stack costs, and what use adds.

    Attributes:
        lines: what is billed by the hour.
        traffic: what is billed by use, one sentence each.
        assumptions: where the prices come from, one sentence each.
    """

    lines: tuple[Line, ...]
    traffic: tuple[str, ...]
    assumptions: tuple[str, ...]

    @property
    def per_hour(self) -> float:
        """In US dollars, without what has an unknown price."""
        return math.fsum(line.count * (line.usd_per_hour or 0.0) for line in self.lines)

    @property
    def per_month(self) -> float:
        """In US dollars, for 730 hours."""
        return self.per_hour * HOURS_A_MONTH

    @property
    def is_complete(self) -> bool:
        """Whether each line has a price."""
        return all(line.usd_per_hour is not None for line in self.lines)

    @property
    def text(self) -> str:
        """The sum on one line."""
        least = "" if self.is_complete else "at least "
        return f"{least}about ${self.per_hour:.3f} an hour, ${self.per_month:.0f} a month"

    @property
    def details(self) -> tuple[str, ...]:
        """What the sum consists of and rests on, for people, line by line."""
        lines = tuple(line.text for line in self.lines)
        return (*lines, *(f"besides that: {item}" for item in self.traffic), *self.assumptions)

    @property
    def as_data(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "usd_per_hour": round(self.per_hour, 6),
            "complete": self.is_complete,
            "lines": [
                {"name": line.name, "count": line.count, "usd_per_hour": line.usd_per_hour}
                for line in self.lines
            ],
            "traffic": list(self.traffic),
            "assumptions": list(self.assumptions),
        }


def parse(text: str) -> tuple[str, float]:
    """The argument of `--price`: `nat=0.05`.

    Returns:
        The name of a price, and US dollars an hour.

    Raises:
        ValueError: it is not a name of `PRICES` and a number that is not negative.
    """
    name, equals, number = text.partition("=")
    name = name.strip().lower()
    if not equals or name not in PRICES:
        raise ValueError(f"{printable(text, _SHOWN)!r} is not NAME=USD, {_known()}")
    try:
        usd = float(number)
    except ValueError:
        usd = math.nan
    if not 0 <= usd <= _DEAREST:  # nor NaN
        shown = printable(number, _SHOWN)
        raise ValueError(f"the price {shown!r} is not a number of US dollars such as 0.05")
    return name, usd


def of(plan: Plan, prices: Mapping[str, float] | None = None, *, bastions: int = 1) -> Cost:
    """What a stack costs.

    Args:
        plan: of the stack.
        prices: what the user replaces: US dollars an hour, by name of `PRICES`.
        bastions: 0 for a stack that is paused.

    Raises:
        SmProxyError: `usage`, a name is not one of `PRICES`.
    """
    own = prices or {}
    if unknown := sorted(set(own) - set(PRICES)):
        what = f"there is no price called {printable(unknown[0], _SHOWN)!r}"
        raise SmProxyError("usage", what, f"Use a {_known()}.")
    endpoints = sum(name not in partition.GATEWAYS for name in plan.endpoints)
    counts = {
        "nat": plan.nat_gateways,
        "address": plan.nat_gateways,
        "endpoint": endpoints * plan.endpoint_zones,
        "bastion": bastions,
        "disk": bastions,
    }
    known = {name: usd for name, (_, usd) in PRICES.items()}
    known_for_type = {"bastion": _INSTANCES.get(plan.bastion_type)}
    lines = tuple(
        Line(_name(name, plan), count, {**known, **known_for_type, **own}[name])
        for name, count in counts.items()
        if count
    )
    return Cost(lines, tuple(_traffic(plan, endpoints)), tuple(_assumptions(plan)))


def _name(price: str, plan: Plan) -> str:
    words = PRICES[price][0]
    return f"{words} ({plan.bastion_type})" if price == "bastion" else words


def _traffic(plan: Plan, endpoints: int) -> Iterator[str]:
    if plan.nat_gateways:
        yield "$0.045 for each GB through a NAT gateway"
    if plan.nat_gateways == 1:
        yield "$0.01 for each GB that reaches the NAT gateway from another zone, in each direction"
    if endpoints:
        yield "$0.01 for each GB through an interface endpoint"
    if partition.S3 in plan.endpoints:
        yield "nothing for data in S3 of this region: the gateway endpoint is free"
    yield "jobs, image builds, and what S3 and the logs store"


def _assumptions(plan: Plan) -> Iterator[str]:
    yield _BASIS
    if partition.partition_of(plan.region) == "aws-cn":
        yield _CHINA


def _known() -> str:
    return f"NAME of {', '.join(PRICES)}"
