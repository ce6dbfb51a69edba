"""`sm-proxy lab`: an AWS on this machine with running containers, for demos and tests."""

from __future__ import annotations

import argparse
from typing import Final

from sm_proxy.errors import SmProxyError
from sm_proxy.settings import Settings, sources

DESCRIPTION: Final = (
    "Simulates AWS with running containers on this machine, to try sm-proxy or to test "
    "scripts. It needs no AWS account."
)
EXAMPLES: Final = (
    ("sm-proxy lab run -- ssh sm-demo hostname", "one command inside it"),
    ("sm-proxy lab up", "keep one running"),
)
USES: Final = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`lab run [options] -- CMD...`, `lab up [options]`."""
    from sm_proxy_lab import run as lab_run  # noqa: PLC0415 - an optional extra

    actions = parser.add_subparsers(metavar="ACTION", required=True, dest="action")
    run_parser = actions.add_parser("run", help="run a command inside the lab")
    lab_run.add_arguments(run_parser)
    run_parser.set_defaults(main=lab_run.main)
    up_parser = actions.add_parser("up", help="keep a lab running and print what to export")
    lab_run.add_up_arguments(up_parser)
    up_parser.set_defaults(main=lab_run.up)


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
