"""The AWS endpoint's client for the gateway's control socket: one JSON line in each direction."""

from __future__ import annotations

import errno
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from sm_proxy_lab.gateway import TUNNELS

_TIMEOUT_S = 10.0


class GatewayError(Exception):
    """The gateway gave no answer."""


class GatewayClient:
    """Sends requests to the gateway."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)

    def ask(self, op: str, **request: object) -> dict[str, Any]:
        """The gateway's answer, which may have a member `error`.

        Raises:
            GatewayError: The gateway cannot be reached, or its answer is not a JSON object.
        """
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                self._connect(connection)
                connection.sendall(json.dumps({"op": op, **request}).encode() + b"\n")
                with connection.makefile("rb") as lines:
                    answer = json.loads(lines.readline())
        except (OSError, ValueError) as error:
            raise GatewayError(f"the gateway does not answer: {error}") from error
        if not isinstance(answer, dict):
            raise GatewayError(f"the gateway answered {answer!r}")
        return answer

    def hand_over(self, client: int, **request: object) -> None:
        """Give the gateway a client's socket, for a tunnel: see `gateway/tunnels.py`.

        Raises:
            GatewayError: The gateway cannot be reached.
        """
        path = Path(self._path).with_name(TUNNELS)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
                connection.connect(str(path))
                socket.send_fds(connection, [json.dumps(request).encode()], [client])
        except OSError as error:
            raise GatewayError(f"the gateway does not take the tunnel: {error}") from error

    def _connect(self, connection: socket.socket) -> None:
        connection.settimeout(_TIMEOUT_S)
        deadline = time.monotonic() + _TIMEOUT_S
        while (failed := connection.connect_ex(self._path)) == errno.EAGAIN:
            # The gateway's queue is full. On a unix socket, connect fails instead of waiting.
            if time.monotonic() > deadline:
                break
            time.sleep(0.005)
        if failed:
            raise OSError(failed, os.strerror(failed))
