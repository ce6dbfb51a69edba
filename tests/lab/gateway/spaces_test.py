"""Sessions to Studio spaces, with an agent that answers as a space's does."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from typing import TYPE_CHECKING

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from sm_proxy_lab.gateway import SPACE, SPACE_PORT

from .scripted_client import SSH, Client, lab, run, until

if TYPE_CHECKING:
    from pathlib import Path

TARGET = f"{SPACE}d-1_space-1"
TERMINATE = 2
"""The flag by which a client ends its session."""


def _serve(path: Path) -> None:
    """Hand out one connection to a server that greets; end with the gateway."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as gateway:
        gateway.connect(str(path))
        gateway.send(
            json.dumps({"target": TARGET, "addresses": ["127.0.0.1"], "ssh": True}).encode()
        )
        asked = json.loads(gateway.recv(1000))
        assert asked["op"] == "ssh"
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.sendall(b"SSH-2.0-Go\r\n")
            socket.send_fds(gateway, [json.dumps({"id": asked["id"]}).encode()], [theirs.fileno()])
            theirs.close()
            assert ours.recv(100) == b"hello"
            assert ours.recv(100) == b""


def test_a_session_is_one_plain_stream_at_its_whole_url(tmp_path: Path) -> None:
    agent = threading.Thread(target=_serve, args=(tmp_path / "agents",))

    async def main() -> None:
        async with lab(tmp_path) as it:
            it.service.agents.listen(tmp_path / "agents")
            agent.start()
            await until(lambda: it.ask("agent", target=TARGET)["connected"])
            assert it.ask("agent", target=TARGET)["age_s"] >= 0
            ports = {"portNumber": [SPACE_PORT]}
            given = it.ask("start", target=TARGET, document=SSH, parameters=ports)
            with pytest.raises(InvalidStatus) as caught:
                await connect(given["StreamUrl"].partition("&")[0])
            assert caught.value.response.status_code == 404
            client = await Client.open(given)
            request = json.loads((await client.handshake()).payload)
            (action,) = request["RequestedClientActions"]
            properties = {"portNumber": SPACE_PORT}
            assert action["ActionParameters"] == {"SessionType": "Port", "Properties": properties}
            await client.send_surely(b"hello")
            await client.until(lambda: client.data == b"SSH-2.0-Go\r\n")
            await client.flag(TERMINATE)
            await client.until(lambda: client.closed)
            assert it.open_ids() == []
            await client.close()
        await asyncio.to_thread(agent.join, 60)

    run(main())
