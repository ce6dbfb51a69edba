"""Options that several commands take, each worded once."""

from __future__ import annotations

import argparse
import os
from typing import Final

from sm_proxy.errors import printable
from sm_proxy.jobs import hostname
from sm_proxy.jobs.hostname import Target
from sm_proxy.settings import Settings, durations
from sm_proxy.settings.schema import WAIT_DEFAULT_S, has_home

CONFIG_OF_KEY: Final = "the config file our key goes with"
_SHOWN: Final = 20


def add_json(parser: argparse.ArgumentParser) -> None:
    """`--json`: the result as one envelope."""
    parser.add_argument("--json", action="store_true", help="one JSON envelope on stdout")


def target_of(args: argparse.Namespace, settings: Settings) -> Target:
    """What the HOST of a command asks for.

    Raises:
        SmProxyError: `bad-name`.
    """
    return hostname.parse(args.host, settings.prefix)


def add_wait(parser: argparse.ArgumentParser) -> None:
    """`--wait DURATION`: for a job that is starting."""
    text = f"wait for a starting job ({durations.form(WAIT_DEFAULT_S)})"
    parser.add_argument("--wait", type=duration, metavar="DURATION", help=text)


def add_timeout(parser: argparse.ArgumentParser) -> None:
    """`--timeout DURATION`: when to give up waiting for a starting job."""
    text = f"wait no longer than this ({durations.form(WAIT_DEFAULT_S)})"
    parser.add_argument(
        "--timeout", type=duration, metavar="DURATION", default=WAIT_DEFAULT_S, help=text
    )


def add_ssh_config(parser: argparse.ArgumentParser, text: str = "instead of ~/.ssh/config") -> None:
    """`--ssh-config PATH`: our files stand beside it, see `settings.flags_of`."""
    parser.add_argument("--ssh-config", type=path, metavar="PATH", help=text)


def path(text: str) -> str:
    """A path as an argument of the command line: a shell leaves the tilde in `--ssh-config=~/x`.

    Raises:
        ArgumentTypeError: it is empty, which must not mean the default, or nobody's home.
    """
    if not text or not has_home(text):
        raise argparse.ArgumentTypeError(f"{printable(text, _SHOWN)!r} is no path")
    return os.path.expanduser(text)  # noqa: PTH111 - a string again


def duration(text: str, least: int = 0) -> int:
    """The seconds of a duration on the command line.

    Raises:
        ArgumentTypeError: it is no duration, shorter than `least` seconds, or longer than a job
            may run.
    """
    try:
        return durations.parse(text, least=least)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"it must be {error}") from None
