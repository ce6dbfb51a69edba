from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from websockets.exceptions import ConnectionClosed

from .scripted_client import SSH, lab, opened, run

if TYPE_CHECKING:
    from pathlib import Path


def test_too_many_messages_cut_the_connection_after_a_pause(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path) as it:
            client, session = await it.client(document=SSH)
            await opened(client)
            it.faults(message_rate_limit=10, rate_grace_s=0.1)  # a slow machine exceeds this, too
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await client.send(b"x")
                    await asyncio.sleep(0.001)
            await client.until(lambda: client.closed)
            assert it.open_ids() == [session]
            await client.close()

    run(main())
