from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from .scripted_client import SSH, lab, opened, run

if TYPE_CHECKING:
    from pathlib import Path


def test_the_hourly_close_leaves_the_session_open(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path) as it:
            client, session = await it.client(document=SSH)
            await opened(client)
            it.faults(bye_after_s=0.1)
            await client.until(lambda: client.closed)
            assert (client.socket.protocol.close_code, client.socket.protocol.close_reason) == (
                1000,
                "Bye",
            )
            assert client.output is None
            it.faults()
            await client.reopen(it.ask("resume", session=session))
            await client.send(b"!")
            await client.until(lambda: client.data == b"hello!")
            await client.close()

    run(main())


@pytest.mark.parametrize("side", ["client", "agent"])
def test_data_arrives_despite_a_cut_after_some_bytes(tmp_path: Path, side: str) -> None:
    async def main() -> None:
        faults: dict[str, Any] = {f"cut_{side}_after_bytes": 20_000, "agent_reconnect_ms": 50}
        async with lab(tmp_path, **faults) as it:
            client, session = await it.client(document=SSH)
            await client.handshake()
            await client.send_surely(b"a")
            await client.send(b"a" * 9_999)  # once: a second copy would cause another cut
            await client.until(lambda: client.closed or client.named("start_publication"))
            if side == "client":
                assert client.socket.protocol.close_code == 1006
                await client.reopen(it.ask("resume", session=session))
            await client.until(lambda: client.data == b"a" * 10_000)
            await client.close()

    run(main())


def test_a_frozen_connection_is_not_closed(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path) as it:
            client, session = await it.client(document=SSH)
            await opened(client)
            it.faults(freeze_client_after_s=0.1)
            connection = it.service.find(session).client
            assert connection
            await client.until(lambda: connection.frozen)
            await client.send(b"into the dark")
            pong = asyncio.ensure_future(await client.socket.ping())
            await asyncio.sleep(0.1)
            assert not client.closed
            assert 2 not in client.acked
            assert not pong.done()
            pong.cancel()
            given = it.ask("resume", session=session)
            client.vanish()
            await client.reopen(given)
            await client.send_as(2, b"!")
            await client.until(lambda: client.data == b"hello!")
            await client.close()

    run(main())
