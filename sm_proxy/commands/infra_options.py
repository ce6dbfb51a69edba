"""The options of `infra` that describe the stack."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Final, TypeVar

from sm_proxy.aws.clients import Aws
from sm_proxy.commands import options
from sm_proxy.errors import SmProxyError, printable
from sm_proxy.infra import costs, partition, services, zones
from sm_proxy.infra import existing as existing_vpc
from sm_proxy.infra.plan import NATS, Existing, Plan
from sm_proxy.settings import Settings

_DEFAULTS: Final = Plan("xx-none-1", ("xx-none-1a", "xx-none-1b"))
_CIDR: Final = re.compile(r"(\d{1,3}\.\d{1,3})\.0\.0/16")
_ZONES: Final = 3
_Parsed = TypeVar("_Parsed")


def add_stack(parser: argparse.ArgumentParser) -> None:
    """`--stack NAME`."""
    parser.add_argument(
        "--stack",
        metavar="NAME",
        default=_DEFAULTS.stack,
        help=f"the stack's name: names of its resources begin with it (default: {_DEFAULTS.stack})",
    )


def add_plan(parser: argparse.ArgumentParser) -> None:
    """All options for `plan_of`, and `--stack`."""
    add_stack(parser)
    group = parser.add_argument_group("what the stack has")
    _add_network(group)
    _add_bastion(group)
    group.add_argument(
        "--data-bucket",
        action="append",
        metavar="NAME",
        default=[],
        help="a bucket of your jobs' data, for the policies; may be repeated",
    )
    group.add_argument("--vpc", metavar="ID", help="use this VPC, and make no network")
    group.add_argument(
        "--subnets",
        type=names,
        metavar="ID,...",
        help="private subnets of that VPC (default: all that reach AWS's services)",
    )


def _add_network(group: options.Group) -> None:
    group.add_argument(
        "--zones",
        type=zones_of,
        metavar="N|NAME,...",
        default=_ZONES,
        help=f"availability zones, 2 to 6: how many, or their names (default: {_ZONES})",
    )
    group.add_argument(
        "--nat",
        choices=NATS,
        default=_DEFAULTS.nat,
        help="NAT gateways: one for all zones, one in each zone, or none (default: one)",
    )
    group.add_argument(
        "--endpoints",
        type=names,
        metavar="NAME,...",
        help=f"interface endpoints, billed by the hour: {', '.join(partition.MENU)} (default: none;"
        f" with --nat none: {', '.join(partition.SMALLEST)}). The one for S3 is free, and always"
        " there",
    )
    group.add_argument(
        "--cidr",
        type=prefix,
        metavar="A.B.0.0/16",
        default=f"{_DEFAULTS.prefix}.0.0/16",
        help=f"addresses of the VPC (default: {_DEFAULTS.prefix}.0.0/16)",
    )


def _add_bastion(group: options.Group) -> None:
    group.add_argument(
        "--bastion-type",
        metavar="TYPE",
        default=_DEFAULTS.bastion_type,
        help=f"instance type of the bastion (default: {_DEFAULTS.bastion_type})",
    )
    group.add_argument(
        "--bastion-days",
        type=int,
        metavar="N",
        default=_DEFAULTS.bastion_days,
        help="replace the bastion by one with the newest image every N days, 7 to 365 (default:"
        f" {_DEFAULTS.bastion_days})",
    )


def add_prices(parser: argparse.ArgumentParser) -> None:
    """`--price NAME=USD`, which may be repeated; `dict(args.price)` is for `costs.of`."""
    parser.add_argument(
        "--price",
        type=price,
        action="append",
        metavar="NAME=USD",
        default=[],
        help="price of one for an hour, instead of that in our table; NAME is one of"
        f" {', '.join(costs.PRICES)}; may be repeated",
    )


def plan_of(
    args: argparse.Namespace, settings: Settings, aws: Aws | None, before: tuple[str, ...] = ()
) -> Plan:
    """The plan that the arguments describe.

    Args:
        args: parsed by a parser with `add_plan`.
        settings: of this run.
        aws: to look up zones and services; None makes no call.
        before: the zones of the stack that is there.

    Raises:
        SmProxyError: `usage`; or those of the calls.
    """
    region = settings.region or (aws.region if aws else "")
    if not region:
        raise SmProxyError("usage", "no region is named", "Add --region REGION.")
    existing = _existing(args, aws)
    named = () if existing else _zones(args.zones, region, aws, before)
    return Plan(
        region=region,
        zones=named,
        nat=args.nat,
        endpoints=_endpoints(args, region, named, aws),
        prefix=args.cidr,
        bastion_type=args.bastion_type,
        bastion_days=args.bastion_days,
        stack=args.stack,
        existing=existing,
        data_buckets=tuple(args.data_bucket),
    )


def _endpoints(
    args: argparse.Namespace, region: str, named: tuple[str, ...], aws: Aws | None
) -> dict[str, str]:
    """The services of endpoints. Of an existing VPC, the route tables are the user's."""
    wanted = args.endpoints
    if wanted is None:
        wanted = partition.SMALLEST if args.nat == "none" and named else ()
    if not named and (gateways := partition.GATEWAYS & set(wanted)):
        raise SmProxyError(
            "usage",
            f"an endpoint for {', '.join(sorted(gateways))} changes route tables of your VPC",
            "Leave it out of --endpoints, and make it there yourself.",
        )
    if named:
        wanted = (partition.S3, *wanted)
    if aws is not None:
        return services.find(aws, wanted, named if args.nat == "per-zone" else named[:1])
    return partition.service_names(region, wanted)


def _existing(args: argparse.Namespace, aws: Aws | None) -> Existing | None:
    """The existing VPC; with `aws`, its subnets are checked."""
    if not args.vpc and not args.subnets:
        return None
    if not args.vpc or not (args.subnets or aws):
        raise SmProxyError(
            "usage",
            "--subnets needs --vpc" if args.subnets else "no subnets are named",
            "Name both: --vpc vpc-0a1b2c3d --subnets subnet-0a1b2c3d,subnet-1a2b3c4d.",
        )
    if aws is None:
        return Existing(args.vpc, args.subnets)
    made = args.endpoints or ()
    return existing_vpc.check(aws, args.vpc, args.subnets or (), made, stack=args.stack)


def _zones(
    wanted: int | tuple[str, ...], region: str, aws: Aws | None, before: tuple[str, ...]
) -> tuple[str, ...]:
    if aws is not None:
        return zones.choose(aws, wanted, before)
    if isinstance(wanted, int):
        raise SmProxyError(
            "usage",
            "only AWS knows the names of your availability zones",
            f"Name them, such as --zones {region}a,{region}b.",
        )
    return zones.named(region, wanted)


def zones_of(text: str) -> int | tuple[str, ...]:
    """How many zones, or their names.

    Raises:
        ArgumentTypeError: neither.
    """
    return _argument(zones.parse, text, "it must be ")


def price(text: str) -> tuple[str, float]:
    """A price's name, and US dollars an hour.

    Raises:
        ArgumentTypeError: the text is not a price.
    """
    return _argument(costs.parse, text)


def _argument(parse: Callable[[str], _Parsed], text: str, before: str = "") -> _Parsed:
    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{before}{error}") from None


def names(text: str) -> tuple[str, ...]:
    """Names with commas between them, each once.

    Raises:
        ArgumentTypeError: there is none.
    """
    found = tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    if not found:
        raise argparse.ArgumentTypeError(f"{printable(text, 60)!r} names nothing")
    return found


def prefix(text: str) -> str:
    """The first two octets of a /16; `Plan` checks that they are private.

    Raises:
        ArgumentTypeError: it is no /16.
    """
    found = _CIDR.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(
            f"{printable(text, 60)!r} is not a block such as 10.0.0.0/16"
        )
    return found[1]
