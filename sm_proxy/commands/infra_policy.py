"""`sm-proxy infra policy`: what each identity must be allowed, and why."""

from __future__ import annotations

import argparse
import re
from typing import Final

from sm_proxy.commands import infra_options, options
from sm_proxy.errors import SmProxyError, printable
from sm_proxy.infra import json_text, partition, policies
from sm_proxy.infra.plan import check_bucket
from sm_proxy.local import output
from sm_proxy.local.output import Result
from sm_proxy.settings import Settings
from sm_proxy.settings.schema import is_region

_EXAMPLE: Final = "111122223333"
_ACCOUNT: Final = re.compile(r"\d{12}")
_ROLE: Final = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)

DESCRIPTION: Final = (
    "Prints an IAM policy with the minimum that one identity needs. For administrators."
)
EXAMPLES: Final = (
    ("sm-proxy infra policy user", "for people who use ssh"),
    ("sm-proxy infra policy launcher --explain", "why each statement is there"),
    ("sm-proxy infra policy job --minimal", "without what is optional"),
)
USES: Final = options.USES_AWS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`infra policy NAME [--account ID] [--minimal] [--explain]` and more."""
    who = "; ".join(f"{name}: {text}" for name, text in policies.WHO.items())
    parser.add_argument("name", choices=list(policies.PIECES), metavar="NAME", help=who)
    parser.add_argument(
        "--account",
        type=_account,
        metavar="ID",
        default=_EXAMPLE,
        help=f"the account that the policy is for (default: the example {_EXAMPLE}, to be"
        " replaced; no call is made). --region REGION restricts it to that region (default: all"
        " regions of the partition in use)",
    )
    infra_options.add_stack(parser)
    parser.add_argument(
        "--data-bucket",
        action="append",
        metavar="NAME",
        default=[],
        help="a bucket of your jobs' data; may be repeated",
    )
    parser.add_argument(
        "--job-role",
        type=_role,
        action="append",
        metavar="NAME",
        default=[],
        help="a role that your jobs have, besides the stack's; may be repeated",
    )
    parser.add_argument(
        "--minimal", action="store_true", help="leave out what commands can do without"
    )
    parser.add_argument(
        "--explain", action="store_true", help="say on stderr what each statement is for"
    )


def run(args: argparse.Namespace, settings: Settings) -> Result:
    """Print the document; on stderr a warning, or with `--explain` a line for each statement.

    Raises:
        SmProxyError: `usage`.
    """
    for name in args.data_bucket:
        check_bucket(name)
    region = getattr(args, "region", None)
    if region and not is_region(region):
        what = f"{printable(region, 60)!r} is not an AWS region"
        raise SmProxyError("usage", what, "Use one such as eu-west-1.")
    scope = policies.Scope(
        partition=partition.partition_of(settings.region or ""),
        region=region or "*",
        account=args.account,
        stack=args.stack,
        buckets=tuple(args.data_bucket),
        job_roles=tuple(args.job_role),
    )
    rows = policies.statements(args.name, scope, minimal=args.minimal)
    for item in rows:
        if args.explain:
            output.write_to_stderr(_line(item))
    wide = [item.sid for item in rows if not item.in_stack]
    if wide and not args.explain:
        output.status(
            f"{', '.join(wide)}: for the spaces and nodes of everybody in the account."
            " Leave them out, or limit them: docs/spaces.md, docs/hyperpod.md."
        )
    document = policies.document(args.name, scope, minimal=args.minimal)
    return Result(document, json_text.dumps(document))


def _line(item: policies.Statement) -> str:
    return f"{item.sid}: {'optional, for' if item.optional else 'without it,'} {item.why}"


def _role(text: str) -> str:
    if not _ROLE.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{printable(text, 60)!r} is not the name of a role")
    return text


def _account(text: str) -> str:
    if not _ACCOUNT.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{printable(text, 60)!r} is not an account: 12 digits")
    return text
