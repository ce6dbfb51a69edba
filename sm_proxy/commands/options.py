"""Options that several commands take."""

from __future__ import annotations

import argparse
import os
from typing import Final, TypeAlias

from sm_proxy.aws.job_kinds import SESSION_KINDS
from sm_proxy.errors import SmProxyError, printable
from sm_proxy.jobs import hostname, kinds
from sm_proxy.jobs.hostname import Target
from sm_proxy.settings import Settings, durations
from sm_proxy.settings.schema import IN_PROXY_COMMAND, WAIT_DEFAULT_S, has_home

USES_AWS: Final = ("profile", "region")
"""The settings of a command that calls AWS, for its USES."""
USES_HOST: Final = (*USES_AWS, "prefix")
"""As USES_AWS, of a command that finds a job by its host name."""
USES_SSH: Final = (*USES_HOST, "route", "bastion", "ssh_dir")
"""As USES_HOST, of a command that connects to a container, or says how ssh would."""
USES_BLOCK: Final = (*IN_PROXY_COMMAND, "prefix", "ssh_dir")
"""The settings that our Host block passes on, of a command that writes it or that it starts."""
CONFIG_OF_KEY: Final = "the ssh config file that our key belongs to"
Group: TypeAlias = argparse.ArgumentParser | argparse._ArgumentGroup  # noqa: SLF001 - its only name
"""Where options are added: a parser, or a group of its help."""
_SHOWN: Final = 20


def add_json(parser: Group) -> None:
    """`--json`: print the result as JSON."""
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")


def add_host(parser: argparse.ArgumentParser) -> None:
    """HOST, for `target_of`."""
    parser.add_argument("host", metavar="HOST", help="a host name, such as sm-myjob")


def target_of(args: argparse.Namespace, settings: Settings) -> Target:
    """The parsed HOST argument.

    Raises:
        SmProxyError: `bad-name`.
    """
    return hostname.parse(args.host, settings.prefix)


def refuse_unless_job(target: Target, why: str) -> None:
    """Refuse a Studio space or a HyperPod cluster, for a command that is for jobs.

    Args:
        target: what the user names.
        why: what it is, in contrast to a job, such as `cannot be relaunched`.

    Raises:
        SmProxyError: `unsupported`.
    """
    if target.kind in SESSION_KINDS:
        raise SmProxyError(
            "unsupported",
            f"{target.host} is not a job: a {kinds.of(target.kind).NOUN} {why}",
            f"See how ssh reaches it: sm-proxy doctor {target.host}",
        )


def add_compression(parser: argparse.ArgumentParser) -> None:
    """`--compression` and `--no-compression`, for the ssh config block."""
    parser.add_argument(
        "--compression",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="let ssh compress: faster through SSM, slower on a fast network (default: on; `setup` "
        "inside a VPC: off)",
    )


def add_wait(parser: argparse.ArgumentParser) -> None:
    """`--wait DURATION`: for a job that is starting."""
    text = f"how long to wait for a starting job (default: {durations.form(WAIT_DEFAULT_S)})"
    parser.add_argument("--wait", type=duration, metavar="DURATION", help=text)


def add_timeout(parser: Group) -> None:
    """`--timeout DURATION`: when to give up waiting until ssh can reach a job."""
    text = f"how long to wait until ssh can reach it (default: {durations.form(WAIT_DEFAULT_S)})"
    parser.add_argument(
        "--timeout", type=duration, metavar="DURATION", default=WAIT_DEFAULT_S, help=text
    )


def add_identity(parser: argparse.ArgumentParser) -> None:
    """`--user`, `--identity-file`, `--identity-agent`: how ssh logs in."""
    parser.add_argument("--user", help="the user to log in as (default: root)")
    parser.add_argument("--identity-file", metavar="PATH", help="your own key, or its .pub")
    parser.add_argument(
        "--identity-agent",
        metavar="PATH",
        help="the ssh-agent that holds your key: a socket's path, or the word SSH_AUTH_SOCK",
    )


def add_ssh_config(
    parser: argparse.ArgumentParser, text: str = "your ssh config (default: ~/.ssh/config)"
) -> None:
    """`--ssh-config PATH`: our files are in a folder beside it, see `settings.flags_of`."""
    parser.add_argument("--ssh-config", type=path, metavar="PATH", help=text)


def path(text: str) -> str:
    """A path on the command line. Shells do not expand the tilde in `--ssh-config=~/x`.

    Raises:
        ArgumentTypeError: it is empty, or its `~user` does not exist.
    """
    if not text or not has_home(text):
        raise argparse.ArgumentTypeError(f"{printable(text, _SHOWN)!r} is not a path")
    return os.path.expanduser(text)  # noqa: PTH111 - a string is wanted


def duration(text: str, least: int = 0, most: int = durations.LONGEST_WAIT_S) -> int:
    """The seconds of a duration on the command line.

    Raises:
        ArgumentTypeError: it is not a duration, shorter than `least` seconds, or longer than
            `most`: by default, as long as a job may run.
    """
    try:
        return durations.parse(text, least=least, most=most)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"it must be {error}") from None
