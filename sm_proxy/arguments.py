"""Options that several commands take, each worded once."""

from __future__ import annotations

import argparse
from typing import Final

from sm_proxy import settings
from sm_proxy.settings import WAIT_DEFAULT_S

CONFIG_OF_KEY: Final = "the config file our key goes with"


def add_json(parser: argparse.ArgumentParser) -> None:
    """`--json`: the result as one envelope."""
    parser.add_argument("--json", action="store_true", help="one JSON envelope on stdout")


def add_wait(parser: argparse.ArgumentParser) -> None:
    """`--wait S`: for a job that is starting."""
    text = f"wait for a starting job ({WAIT_DEFAULT_S})"
    parser.add_argument("--wait", type=settings.seconds, metavar="S", help=text)


def add_ssh_config(parser: argparse.ArgumentParser, text: str = "instead of ~/.ssh/config") -> None:
    """`--ssh-config PATH`: our files stand beside it, see `settings.flags_of`."""
    parser.add_argument("--ssh-config", type=settings.path, metavar="PATH", help=text)
