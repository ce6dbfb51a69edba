"""`sm-proxy infra template`: the CloudFormation template that `infra deploy` uses."""

from __future__ import annotations

import argparse
from typing import Final

from sm_proxy.aws.clients import Aws
from sm_proxy.commands import infra_options, options
from sm_proxy.infra import template
from sm_proxy.local.output import Result
from sm_proxy.settings import Settings

DESCRIPTION: Final = (
    "Prints the CloudFormation template of `infra deploy`, for administrators who deploy it "
    "themselves."
)
EXAMPLES: Final = (
    ("sm-proxy infra template --yaml", "to read, or to deploy"),
    ("sm-proxy infra template --nat none", "as `infra deploy --nat none`"),
)
USES: Final = options.USES_AWS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`infra template [--yaml]` and the options of the plan."""
    infra_options.add_plan(parser)
    parser.add_argument("--yaml", action="store_true", help="print YAML instead of JSON")


def run(args: argparse.Namespace, settings: Settings) -> Result:
    """Print the template. With names of zones and a region, no call is made."""
    plan = infra_options.plan_of(args, settings, _aws(args, settings))
    found = template.render(plan)
    return Result(found, template.as_yaml(found) if args.yaml else template.as_json(found))


def _aws(args: argparse.Namespace, settings: Settings) -> Aws | None:
    """None where no call is needed."""
    named = args.subnets if args.vpc else not isinstance(args.zones, int)
    if settings.region and named:
        return None
    return Aws(settings.profile, settings.region)
