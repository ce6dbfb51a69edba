"""Options of the commands that create jobs with ssh: `relaunch` and `launch`."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Callable
from typing import Final

from sm_proxy.commands import options
from sm_proxy.errors import printable
from sm_proxy.identity import identities
from sm_proxy.launch import sizes
from sm_proxy.launch.request import DEFAULT_KEEP_S, Ssh
from sm_proxy.local import private_files
from sm_proxy.settings import Settings, durations

_ID: Final = re.compile(r"(?:subnet|sg)-[0-9a-zA-Z-]+")
_SHOWN: Final = 60


def add_arguments(parser: argparse.ArgumentParser, wait: str = "0") -> None:
    """What the job gets.

    Args:
        parser: of the command.
        wait: the default of `--wait`, for its help.
    """
    keep = durations.form(DEFAULT_KEEP_S)
    job = parser.add_argument_group("the job")
    job.add_argument(
        "--keep",
        type=options.duration,
        metavar="DURATION",
        help="how long its container stays after a failure; also the limit while you are connected"
        f" (default: {keep})",
    )
    job.add_argument(
        "--wait",
        type=options.duration,
        metavar="DURATION",
        help=f"how long its program waits for your connection before it starts (default: {wait})",
    )
    job.add_argument(
        "--shell",
        action="store_true",
        help="print the command of its program, and run it only after `sm-proxy go`",
    )
    job.add_argument(
        "--entrypoint",
        type=_words,
        metavar="COMMAND",
        help="the image's ENTRYPOINT, in shell words, if it cannot be read from ECR",
    )
    job.add_argument(
        "--without-isolation",
        action="store_true",
        help="switch network isolation off: no ssh can reach an isolated job",
    )
    job.add_argument(
        "--remote-debug",
        action="store_true",
        help="switch RemoteDebug on: ssh then needs no VPC and no bastion (training jobs)",
    )
    defaults = "default: its own, else those of [launch] in config.toml, else the bastion's"
    for name, metavar in (("subnets", "SUBNET[,...]"), ("security-groups", "GROUP[,...]")):
        text = f"the {name.replace('-', ' ')} it runs in ({defaults})"
        job.add_argument(f"--{name}", type=_ids, action="extend", metavar=metavar, help=text)
    parser.add_argument(
        "--yes", action="store_true", help="create the job even if ssh may not reach it"
    )


def add_result(parser: options.Group) -> None:
    """`--timeout`, `--dry-run` and `--json`: what we do with a request that is ready."""
    options.add_timeout(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="show what would change, and change nothing in AWS"
    )
    options.add_json(parser)


def add_size(parser: options.Group) -> None:
    """`--smaller` or `--instance-type TYPE`."""
    one = parser.add_mutually_exclusive_group()
    hour = durations.form(sizes.SMALLER_RUN_S)
    one.add_argument(
        "--smaller",
        action="store_true",
        help=f"one node of the smallest type of its family, for {hour}",
    )
    one.add_argument(
        "--instance-type", type=_instance_type, metavar="TYPE", help="such as ml.g5.xlarge"
    )


def ssh_of(args: argparse.Namespace, settings: Settings, on_status: Callable[[str], None]) -> Ssh:
    """What the user wants of ssh. As in `setup`, our own key is made if there is none.

    Args:
        args: with the options of `add_arguments`.
        settings: of this run.
        on_status: takes a line if a key is made.

    Raises:
        SmProxyError: as `identities.ensure`.
    """
    path = identities.private_key_path(settings)
    is_new = not settings.identity_file and not private_files.exists(path)
    keys = identities.offered(settings)
    if is_new:
        on_status(f"made your ssh key {path}")
    return Ssh(
        keys=tuple(key.public_key for key in keys),
        wait_s=args.wait,
        keep_s=args.keep,
        shell=args.shell,
        subnets=tuple(args.subnets or ()),
        security_groups=tuple(args.security_groups or ()),
        without_isolation=args.without_isolation,
        remote_debug=args.remote_debug,
    )


def _words(text: str) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"it is not shell words: {error}") from None
    if not words:
        raise argparse.ArgumentTypeError("it is empty")
    return words


def _ids(text: str) -> list[str]:
    found = [word for word in re.split(r"[,\s]+", text) if word]
    for word in found:
        if not _ID.fullmatch(word):
            shown = printable(word, _SHOWN)
            raise argparse.ArgumentTypeError(
                f"{shown!r} is not an id such as subnet-1a2b or sg-1a2b"
            )
    return found


def _instance_type(text: str) -> str:
    if not sizes.TYPE.fullmatch(text):
        shown = printable(text, _SHOWN)
        raise argparse.ArgumentTypeError(f"{shown!r} is not an instance type such as ml.g5.xlarge")
    return text
