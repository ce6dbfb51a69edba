from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from .scripted_client import LOCAL, PSH, SYN, frame, frames, lab, run

if TYPE_CHECKING:
    from pathlib import Path


def test_latency_is_one_way_and_costs_no_throughput(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path, latency=0.05, pause_ms=0) as it:
            client, _ = await it.client(document=LOCAL)
            await client.handshake()
            await client.send_surely(frame(SYN, 3))

            async def took(count: int) -> float:
                client.data = b""
                begin = asyncio.get_running_loop().time()
                for _ in range(count):
                    await client.send(frame(PSH, 3, b"x" * 1000))
                await client.until(
                    lambda: sum(len(d) for _, _, d in frames(client.data)) == count * 1000
                )
                return asyncio.get_running_loop().time() - begin

            # The shortest of several: a busy machine delays some, not all. A message may come half
            # a millisecond early in each direction.
            assert 0.099 <= min([await took(1) for _ in range(10)]) < 0.19
            assert 0.099 <= min([await took(100) for _ in range(3)]) < 2
            await client.close()

    run(main())
