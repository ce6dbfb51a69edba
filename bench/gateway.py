"""The lab's session gateway as a process of its own, for the benchmarks."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sm_proxy.ssm.session import Grant

DOCUMENT = "AWS-StartPortForwardingSessionToRemoteHost"


class Gateway:
    """Starts sessions to one port of 127.0.0.1, as an Api of `sm_proxy.ssm`."""

    def __init__(self, control: Path, port: int = 0) -> None:
        self._control = control
        self._port = port

    def to(self, port: int) -> Gateway:
        """The same gateway for another target port."""
        return Gateway(self._control, port)

    def start(self) -> Grant:
        """StartSession."""
        parameters = {
            "host": ["127.0.0.1"],
            "portNumber": [str(self._port)],
            "localPortNumber": ["0"],
        }
        answer = self.ask(
            op="start",
            target="i-0",
            document=DOCUMENT,
            parameters=parameters,
            agent_version="3.3.1230.0",
        )
        return Grant(answer["SessionId"], answer["TokenValue"], answer["StreamUrl"])

    def resume(self, session_id: str) -> Grant | None:
        """ResumeSession."""
        answer = self.ask(op="resume", session=session_id)
        return Grant(answer["SessionId"], answer["TokenValue"], answer["StreamUrl"])

    def terminate(self, session_id: str) -> None:
        """TerminateSession."""
        self.ask(op="terminate", session=session_id)

    def data_key(self, key_id: str, session_id: str, challenge: str) -> tuple[bytes, bytes]:
        """Never called."""
        raise NotImplementedError(key_id, session_id, challenge)

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send one request to the control socket and return its answer."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self._control))
            connection.sendall(json.dumps(request).encode() + b"\n")
            answer: dict[str, Any] = json.loads(connection.makefile().readline())
        return answer


@contextlib.contextmanager
def running(**faults: Any) -> Iterator[Gateway]:
    """Run a gateway with these faults (see sm_proxy_lab/gateway/faults.py)."""
    with tempfile.TemporaryDirectory() as name, socket.create_server(("127.0.0.1", 0)) as server:
        control = Path(name) / "control"
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "sm_proxy_lab.gateway"),
                *("--fd", str(server.fileno()), "--control", str(control)),
                *("--sessions", str(Path(name) / "sessions"), "--latency-ms", "0"),
                *("--instances", str(Path(name) / "instances")),
            ],
            pass_fds=[server.fileno()],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        if process.stdout is None or b"ready" not in process.stdout.readline():
            raise RuntimeError("the gateway did not start")
        gateway = Gateway(control)
        try:
            gateway.ask(op="faults", faults=faults)
            yield gateway
        finally:
            process.terminate()
            process.communicate()
