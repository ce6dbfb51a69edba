"""`sm-proxy lab`: an AWS on this machine with running containers, for demos and tests."""

from __future__ import annotations

import argparse
import sys
from typing import Any, Final

from sm_proxy.errors import SmProxyError
from sm_proxy.settings import Settings, sources

DESCRIPTION: Final = (
    "Simulates AWS with running containers on this machine, to try sm-proxy or to test "
    "scripts. It needs no AWS account, but the packages of sm-proxy[lab]."
)
EXAMPLES: Final = (
    ("sm-proxy lab run -- bash", "a shell inside it"),
    ("sm-proxy lab up", "keep one running"),
)
USES: Final = ()

_RUN: Final[dict[str, Any]] = {
    "help": "run a command inside the lab",
    "description": "Starts a lab with a job, runs a command inside it, and ends the lab. The exit"
    " status is the command's own.",
    "examples": (
        ("sm-proxy lab run -- sm-proxy list", "which jobs there are"),
        ("sm-proxy lab run -- bash", "a shell, to look around"),
        ("sm-proxy lab run --nodes 2 -- sm-proxy list", "a job of two containers"),
    ),
    "uses": (),
}
_UP: Final[dict[str, Any]] = {
    "help": "keep a lab running and print what to export",
    "description": "Keeps a lab running until Ctrl-C, and prints the variables with which other"
    " programs use it.",
    "examples": (("sm-proxy lab up", "then export what it prints"),),
    "uses": (),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`lab run [options] -- CMD...`, `lab up [options]`."""
    from sm_proxy_lab import run as lab_run  # noqa: PLC0415 - an optional extra

    actions = parser.add_subparsers(metavar="ACTION", required=True, dest="action")
    run_parser = actions.add_parser("run", **_RUN)
    lab_run.add_arguments(run_parser)
    run_parser.set_defaults(main=lab_run.main)
    up_parser = actions.add_parser("up", **_UP)
    lab_run.add_up_arguments(up_parser)
    up_parser.set_defaults(main=lab_run.up)


def add_all_arguments(parser: argparse.ArgumentParser) -> None:
    """As `add_arguments`, where the lab can be imported: not on Windows."""
    if sys.platform != "win32":
        add_arguments(parser)


load_settings = sources.load_nothing


def run(args: argparse.Namespace, _: Settings) -> int:
    """Run the lab; the exit status is the command's own."""
    require_extra()
    return int(args.main(args))


def require_extra() -> None:
    """Raise unless the packages of the `lab` extra are installed.

    Raises:
        SmProxyError: `missing-dependency`.
    """
    import importlib.util  # noqa: PLC0415

    from sm_proxy.local import installation  # noqa: PLC0415 - only for what is missing

    if importlib.util.find_spec("moto") is None:
        raise SmProxyError(
            "missing-dependency",
            "the lab needs more packages",
            f"Install them with: {installation.add('sm-proxy[lab]')}",
        )
