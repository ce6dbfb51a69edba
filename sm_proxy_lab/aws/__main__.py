"""`python -m sm_proxy_lab.aws`: serve AWS on an inherited socket."""

from __future__ import annotations

import argparse
import gc
import json
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

_STDOUT = threading.Lock()


def main(argv: list[str] | None = None) -> None:
    """Serve until killed; events go to stdout, a JSON line each."""
    began = time.monotonic()
    options = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    signal.signal(signal.SIGINT, lambda *_: os._exit(0))
    # botocore's models are half a million small objects that stay. Searching them for garbage again
    # and again would take a third of the start-up time.
    gc.disable()
    # Imported late, so that a wrong command line fails at once.
    from sm_proxy_lab.aws.app import AwsApp  # noqa: PLC0415
    from sm_proxy_lab.aws.call_log import CallLog  # noqa: PLC0415
    from sm_proxy_lab.aws.gateway_client import GatewayClient  # noqa: PLC0415
    from sm_proxy_lab.aws.moto_app import Moto  # noqa: PLC0415
    from sm_proxy_lab.aws.server import Server  # noqa: PLC0415
    from sm_proxy_lab.aws.vpc.enforcement import Enforcement  # noqa: PLC0415

    app = AwsApp(
        moto=Moto(),
        gateway=GatewayClient(options.gateway),
        calls=CallLog(options.calls),
        emit=_emit,
        latency_s=options.latency_ms / 1000,
        enforcement=Enforcement(_cables(options), empty=options.empty),
        empty=options.empty,
    )
    app.warm()
    gc.freeze()
    gc.enable()
    listener = socket.socket(fileno=options.fd)
    app.codebuild.serve(options.calls.absolute().parent / "builds", listener)
    server = Server(listener, app)
    _emit("ready", seconds=round(time.monotonic() - began, 3))
    server.serve_forever()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sm_proxy_lab.aws", description=__doc__)
    parser.add_argument("--fd", type=int, required=True, help="a bound, listening TCP socket")
    parser.add_argument("--gateway", type=Path, required=True, help="the gateway's control socket")
    parser.add_argument("--calls", type=Path, required=True, help="the file to record calls in")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="one way, of every API call")
    cables = "the router's and the bastion's network namespaces, and the bastion's address"
    parser.add_argument("--cables", nargs=3, metavar=("FD", "FD", "ADDRESS"), help=cables)
    parser.add_argument("--empty", action="store_true", help="an account on its first day")
    return parser


def _cables(options: argparse.Namespace) -> Any:
    from sm_proxy_lab.aws.vpc.cables import Cables  # noqa: PLC0415

    if options.cables is None:
        return None
    router, bastion, address = options.cables
    if options.empty:
        return Cables(int(router), int(bastion))
    return Cables.of_the_lab(int(router), int(bastion), address)


def _emit(event: str, **members: object) -> None:
    """Send an event to the supervisor; exit if it no longer reads."""
    line = json.dumps({"event": event, **members}, separators=(",", ":"))
    with _STDOUT:
        try:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
        except OSError:
            os._exit(1)


if __name__ == "__main__":
    main()
