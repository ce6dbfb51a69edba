"""Tunnels of Instance Connect Endpoints, as a websocket client sees them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from typing import TYPE_CHECKING, Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from sm_proxy_lab.gateway.faults import Faults
from sm_proxy_lab.gateway.tunnels import Tunnels

from .scripted_client import run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def opened(
    folder: Path, serve: Any = echo, *, limit_s: float = 60, port: int | None = None
) -> AsyncIterator[tuple[ClientConnection, Tunnels]]:
    """A tunnel to a server of this test; the request is handed over as the AWS endpoint does."""
    path = folder / "tunnels.sock"
    tunnels = Tunnels(Faults, 0)
    tunnels.listen(path)
    target = await asyncio.start_server(serve, "127.0.0.1", 0)
    where = target.sockets[0].getsockname()[1] if port is None else port

    async def hand_over(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        request = {"head": head.decode(), "address": "127.0.0.1", "port": where}
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as given:
            given.connect(str(path))
            words = json.dumps({**request, "limit_s": limit_s}).encode()
            socket.send_fds(given, [words], [writer.get_extra_info("socket").fileno()])
        writer.transport.abort()  # the gateway has a copy

    front = await asyncio.start_server(hand_over, "127.0.0.1", 0)
    url = f"ws://127.0.0.1:{front.sockets[0].getsockname()[1]}/openTunnel"
    try:
        async with connect(url, max_size=None, compression=None) as client:
            yield client, tunnels
    finally:
        tunnels.close()
        front.close()
        target.close()


async def farewell(client: ClientConnection) -> tuple[int | None, str]:
    with contextlib.suppress(ConnectionClosed):
        while True:
            await asyncio.wait_for(client.recv(), 60)
    return client.close_code, client.close_reason or ""


def test_bytes_go_both_ways_and_the_end_is_clean(tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(200_000))
        writer.close()

    async def main() -> None:
        sent = bytes(range(250)) * 800
        async with opened(tmp_path, serve) as (client, _):
            for at in range(0, len(sent), 50_000):
                await client.send(sent[at : at + 50_000])
            got = b""
            while len(got) < len(sent):
                data = await asyncio.wait_for(client.recv(), 60)
                assert isinstance(data, bytes)
                got += data
            assert got == sent
            assert (await farewell(client))[0] == 1000

    run(main())


def test_a_refused_port_is_the_reason_of_the_failure(tmp_path: Path) -> None:
    with socket.socket() as unused:  # bound, but nobody listens
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]

        async def main() -> None:
            async with opened(tmp_path, port=port) as (client, _):
                code, reason = await farewell(client)
                assert (code, "refused" in reason) == (1011, True), reason

        run(main())


@pytest.mark.parametrize("message", ["text", b"x" * 65_001])
def test_an_invalid_frame_ends_the_tunnel(tmp_path: Path, message: str | bytes) -> None:
    async def main() -> None:
        async with opened(tmp_path) as (client, _):
            await client.send(message)
            assert (await farewell(client))[0] == 1009

    run(main())


def test_a_tunnel_ends_after_its_time(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, limit_s=0.2) as (client, _):
            assert await farewell(client) == (1001, "The maximum tunnel duration is over")

    run(main())


def test_a_cut_tunnel_has_no_close_frame(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as (client, tunnels):
            await client.send(b"up")
            assert await asyncio.wait_for(client.recv(), 60) == b"up"
            assert (tunnels.cut(), (await farewell(client))[0]) == (1, 1006)

    run(main())


def test_a_client_that_leaves_ends_the_connection_in_the_vpc(tmp_path: Path) -> None:
    async def main() -> None:
        ended = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()
            ended.set()

        async with opened(tmp_path, serve) as (client, _):
            await client.send(b"last words")
            await client.close()
            await asyncio.wait_for(ended.wait(), 60)

    run(main())
