from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from websockets.exceptions import ConnectionClosed

from .scripted_client import SSH, encode, lab, opened, run

if TYPE_CHECKING:
    from pathlib import Path


def test_a_huge_message_closes_the_connection(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path) as it:
            client, session = await it.client(document=SSH)
            await client.handshake()
            with contextlib.suppress(ConnectionClosed):
                await client.socket.send(bytes((16 << 20) + 1))
            await client.until(lambda: client.closed)
            assert client.socket.protocol.close_code == 1009
            assert it.open_ids() == [session]
            await client.close()

    run(main())


def test_fragments_are_sent_and_received(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path, fragment=100) as it:
            client, _ = await it.client(document=SSH)
            await opened(client)
            raw = encode("input_stream_data", b"a" * 900, 2, 0, 1)
            await client.socket.send([raw[:50], raw[50:500], raw[500:]])
            await client.until(lambda: client.data == b"hello" + b"a" * 900)
            await client.close()

    run(main())
