"""`sm-proxy login`: ask for the code of an MFA device now, so that no ssh has to."""

from __future__ import annotations

import argparse

from sm_proxy import settings as settings_module
from sm_proxy.aws.clients import Aws
from sm_proxy.commands import options
from sm_proxy.errors import EXIT_EXPECTED, SmProxyError
from sm_proxy.local import secret_store
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
    text = f"{caller['Arn']} of account {caller['Account']}"
    if not aws.not_kept:
        return Result(data, text)
    return Result(data, text, EXIT_EXPECTED, _not_kept(aws.not_kept))


def _not_kept(why: str) -> SmProxyError:
    """AWS has given a session, and the next ssh asks again all the same."""
    remedy = secret_store.remedy() if secret_store.trouble() else "Install one that keyring knows"
    return SmProxyError(
        "no-keyring",
        f"the code was right, but its session is kept nowhere: of this system's keyring, {why}",
        f"{remedy}, then again: sm-proxy login. Until then connect from a terminal, where the code "
        "is asked for each time, or set SSH_ASKPASS.",
    )
