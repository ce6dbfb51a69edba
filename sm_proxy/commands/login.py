"""`sm-proxy login`: ask for the code of an MFA device now, so that no ssh has to."""

from __future__ import annotations

import argparse

from sm_proxy import settings as settings_module
from sm_proxy.aws.clients import Aws
from sm_proxy.commands import options
from sm_proxy.local.output import Result


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`login [--profile NAME] [--json]`."""
    options.add_json(parser)


def run(args: argparse.Namespace) -> Result:
    """Get credentials, asking where that is needed, and say whose they are."""
    settings = settings_module.load(settings_module.flags_of(args))
    aws = Aws(settings.profile, settings.region)
    caller = aws.call("sts", "GetCallerIdentity")
    data = {"profile": aws.profile, "account": caller["Account"], "arn": caller["Arn"]}
    return Result(data, f"{caller['Arn']} of account {caller['Account']}")
