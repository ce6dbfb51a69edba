from __future__ import annotations

from typing import TYPE_CHECKING

from .scripted_client import SSH, encode, lab, opened, run

if TYPE_CHECKING:
    from pathlib import Path


def test_too_long_a_payload_is_lost_or_cuts_the_connection(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path, max_payload=1024) as it:
            client, session = await it.client(document=SSH)
            await opened(client)
            await client.send(b"x" * 1024)
            await client.until(lambda: 2 in client.acked)
            await client.send(b"x" * 1025)
            await client.until(lambda: client.closed)
            it.faults(max_payload=1024, max_payload_drop=True)
            await client.reopen(it.ask("resume", session=session))
            await client.send_as(3, b"x" * 1025)
            await client.send_as(3, b"y")
            await client.until(lambda: client.data.endswith(b"y"))
            await client.close()

    run(main())


def test_a_wrong_digest_is_lost_only_with_the_fault(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path) as it:
            client, _ = await it.client(document=SSH)
            await opened(client)

            async def is_taken(number: int) -> bool:
                wrong = bytearray(encode("input_stream_data", b"!", number, 0, 1))
                wrong[80] ^= 1
                await client.socket.send(bytes(wrong))
                await client.send_as(number + 1, b"?")  # acks come in the order of the messages
                await client.until(lambda: number + 1 in client.acked)
                return number in client.acked

            assert await is_taken(2)
            it.faults(verify_digest=True)
            assert not await is_taken(4)
            await client.close()

    run(main())
