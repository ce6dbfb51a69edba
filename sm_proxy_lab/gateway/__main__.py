"""Run the gateway: `python -m sm_proxy_lab.gateway --fd N --control PATH --sessions FILE`."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import signal
import socket
import sys
from pathlib import Path

from sm_proxy_lab.gateway import TUNNELS
from sm_proxy_lab.gateway.control import Control
from sm_proxy_lab.gateway.instances import Instances
from sm_proxy_lab.gateway.service import Service


async def serve(listener: socket.socket, options: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    host, port = listener.getsockname()[:2]
    instances = Instances(options.instances, options.ssh_port)
    service = Service(f"{host}:{port}", options.sessions, instances, options.latency_ms / 1000)
    if options.agents:
        service.agents.listen(options.agents)
    service.tunnels.listen(options.control.with_name(TUNNELS))
    server = await loop.create_server(service.connection, sock=listener, backlog=512)
    control_server = await asyncio.start_unix_server(Control(service).serve, str(options.control))
    sys.stdout.write(json.dumps({"event": "ready"}) + "\n")
    sys.stdout.flush()
    await stopped.wait()
    server.close()
    control_server.close()
    service.close()


def main() -> int:
    """Read the options and serve."""
    parser = argparse.ArgumentParser(prog="python -m sm_proxy_lab.gateway")
    parser.add_argument("--fd", type=int, required=True, help="a bound, listening TCP socket")
    parser.add_argument("--control", type=Path, required=True, help="unix socket to make")
    parser.add_argument("--sessions", type=Path, required=True, help="file of open session ids")
    parser.add_argument("--agents", type=Path, help="unix socket to make for containers' agents")
    parser.add_argument("--latency-ms", type=float, default=0, help="one way")
    parser.add_argument("--instances", type=Path, required=True, help="folder for their files")
    parser.add_argument("--ssh-port", type=int, default=0, help="of the first instance's sshd")
    options = parser.parse_args()
    logging.basicConfig(format="gateway: %(message)s", level=logging.INFO)
    # The garbage collector need not search the imported modules while bytes flow.
    gc.freeze()
    listener = socket.socket(fileno=options.fd)
    options.control.unlink(missing_ok=True)
    asyncio.run(serve(listener, options))
    options.control.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
