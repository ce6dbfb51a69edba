from __future__ import annotations

from typing import TYPE_CHECKING

from .scripted_client import SSH, lab, opened, run

if TYPE_CHECKING:
    from pathlib import Path


def test_a_patient_client_survives_message_faults(tmp_path: Path) -> None:
    async def main() -> None:
        message_faults = {"drop": 0.1, "duplicate": 0.1, "reorder": 0.1, "ack_loss": 0.1, "seed": 1}
        async with lab(tmp_path, pause_ms=0) as it:
            client, _ = await it.client(document=SSH)
            await opened(client)
            it.faults(pause_ms=0, **message_faults)
            for number in range(20):
                await client.send_surely(b"%03d" % number)
            it.faults(pause_ms=0)
            want = b"hello" + b"".join(b"%03d" % number for number in range(20))
            await client.until(lambda: client.data == want)
            await client.close()

    run(main())
