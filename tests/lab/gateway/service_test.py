from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from .scripted_client import Client, lab, run

if TYPE_CHECKING:
    from pathlib import Path


def test_only_the_issued_url_is_accepted(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path) as it:
            given = it.start()
            url, session = given["StreamUrl"], given["SessionId"]
            assert f"/v1/data-channel/{session}?role=publish_subscribe&cell-number=" in url
            for wrong, status in ((url.replace(session, "x"), 404), (url.split("?")[0], 400)):
                with pytest.raises(InvalidStatus) as caught:
                    await connect(wrong)
                assert caught.value.response.status_code == status
            it.faults(refuse_upgrade=503)
            with pytest.raises(InvalidStatus):
                await connect(url)

    run(main())


def test_a_token_works_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path) as it:
            given = it.start()
            wrong = await Client.open(given, "nonsense")
            await wrong.until(lambda: wrong.closed)
            assert wrong.socket.protocol.close_code == 1008
            client = await Client.open(given)
            await client.handshake()
            again = await Client.open(given)
            await again.until(lambda: again.closed)
            assert again.socket.protocol.close_code == 1008
            assert not client.closed
            for one in (wrong, again, client):
                await one.close()

    run(main())


@pytest.mark.parametrize("first", [b"\0binary", "not json", "[]", "{}"])
def test_the_first_message_must_be_the_token(tmp_path: Path, first: bytes | str) -> None:
    async def main() -> None:
        async with lab(tmp_path) as it:
            async with connect(it.start()["StreamUrl"]) as socket:
                await socket.send(first)
                with pytest.raises(ConnectionClosed):
                    await socket.recv()
            assert len(it.open_ids()) == 1

    run(main())
