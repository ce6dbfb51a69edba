"""The options of a plan, where those that are not typed keep what the stack has."""

from __future__ import annotations

import argparse
from typing import Any, Final

from sm_proxy.aws.clients import Aws
from sm_proxy.commands import infra_options
from sm_proxy.errors import SmProxyError
from sm_proxy.infra.plan import Plan
from sm_proxy.settings import Settings

_KEPT: Final = (
    *("zones", "nat", "endpoints", "cidr", "bastion_type", "bastion_days", "data_bucket"),
    *("vpc", "subnets"),
)
_S3: Final = "s3"


def add_plan(parser: argparse.ArgumentParser) -> None:
    """The options of `infra_options.add_plan`; None stands for one that is not typed."""
    infra_options.add_plan(parser)
    parser.set_defaults(**dict.fromkeys(_KEPT))


def plan_of(args: argparse.Namespace, settings: Settings, aws: Aws, recorded: Plan | None) -> Plan:
    """The plan that the arguments describe.

    Args:
        args: parsed by a parser with `add_plan`.
        settings: of this run.
        aws: to look up zones and services.
        recorded: the plan of the stack that is there; None without one.

    Raises:
        SmProxyError: as `infra_options.plan_of`; `usage`, a stack cannot move to another VPC
            or to other addresses.
    """
    typed = {name: getattr(args, name) for name in _KEPT if getattr(args, name) is not None}
    if recorded is not None:
        _refuse_other_network(typed, recorded)
    kept = _defaults() if recorded is None else {**_defaults(), **_of_plan(recorded)}
    whole = argparse.Namespace(**{**vars(args), **kept, **typed})
    return infra_options.plan_of(whole, settings, aws, recorded.zones if recorded else ())


def _refuse_other_network(typed: dict[str, Any], recorded: Plan) -> None:
    existing = recorded.existing
    vpc = typed.get("vpc")
    if vpc is not None and (existing is None or existing.vpc_id != vpc):
        now = f"uses {existing.vpc_id}" if existing else "has its own VPC"
        raise SmProxyError(
            "usage",
            f"the stack {recorded.stack} {now}, and cannot move to {vpc}",
            "Make another stack there: --stack NAME.",
        )
    if existing is None and typed.get("cidr", recorded.prefix) != recorded.prefix:
        # That replaces the VPC, but not its internet gateway, which can be in one VPC only.
        raise SmProxyError(
            "usage",
            f"the stack {recorded.stack} has the addresses {recorded.prefix}.0.0/16, and cannot"
            " change them",
            "Make another stack with other addresses: --stack NAME; or delete this one first.",
        )
    if existing is not None and "zones" in typed:
        raise SmProxyError(
            "usage",
            f"the stack {recorded.stack} uses {existing.vpc_id}, and has no zones of its own",
            "Name subnets: --subnets. Or make another stack: --stack NAME.",
        )


def _defaults() -> dict[str, Any]:
    parser = argparse.ArgumentParser()
    infra_options.add_plan(parser)
    found = vars(parser.parse_args([]))
    return {name: found[name] for name in _KEPT}


def _of_plan(plan: Plan) -> dict[str, Any]:
    """A plan as its options."""
    endpoints = tuple(name for name in plan.endpoints if name != _S3)
    found: dict[str, Any] = {
        "nat": plan.nat,
        "endpoints": endpoints or None,
        "cidr": plan.prefix,
        "bastion_type": plan.bastion_type,
        "bastion_days": plan.bastion_days,
        "data_bucket": list(plan.data_buckets),
    }
    if plan.existing is None:
        return {**found, "zones": plan.zones}
    return {**found, "vpc": plan.existing.vpc_id, "subnets": plan.existing.subnets}
