from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from .scripted_client import SSH, Client, run

if TYPE_CHECKING:
    from pathlib import Path


def _ask(path: Path, **request: Any) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX) as control, control.makefile("rw") as stream:
        control.connect(str(path))
        stream.write(json.dumps(request) + "\n")
        stream.flush()
        answer: dict[str, Any] = json.loads(stream.readline())
        return answer


def test_the_process_serves_an_inherited_socket_and_stops_on_sigterm(tmp_path: Path) -> None:
    control, sessions = tmp_path / "control", tmp_path / "sessions"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        options = ["--fd", str(listener.fileno()), "--control", control, "--sessions", sessions]
        options += ["--instances", tmp_path]
        command = [sys.executable, "-m", "sm_proxy_lab.gateway", *map(str, options)]
        process = subprocess.Popen(
            command, pass_fds=[listener.fileno()], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    with process:
        assert process.stdout
        assert json.loads(process.stdout.readline()) == {"event": "ready"}
        assert sessions.read_text() == ""
        parameters = {"portNumber": ["1"]}
        given = _ask(control, op="start", target="i-0", document=SSH, parameters=parameters)
        assert sessions.read_text().split() == [given["SessionId"]]

        async def main() -> None:
            client = await Client.open(given)
            await client.handshake()
            begin = time.monotonic()
            process.send_signal(signal.SIGTERM)
            await client.until(lambda: client.closed)
            assert await asyncio.to_thread(process.wait) == 0
            assert time.monotonic() - begin < 10
            await client.close()

        run(main())
        assert sessions.read_text() == ""
        assert not control.exists()
        assert process.stderr
        process.stderr.read()
