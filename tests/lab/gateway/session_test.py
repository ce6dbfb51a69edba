from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from .scripted_client import SSH, Client, encode, lab, opened, run

if TYPE_CHECKING:
    from pathlib import Path


def test_a_client_that_vanishes_leaves_the_session_open(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path) as it:
            client, session = await it.client(document=SSH)
            await opened(client)
            assert it.ask("list") == {
                "sessions": [{"id": session, "target": "i-0", "state": "Connected"}]
            }
            client.vanish()
            await client.until(lambda: it.ask("list")["sessions"][0]["state"] == "Disconnected")
            assert it.open_ids() == [session]
            it.faults(idle_timeout_s=0.05)
            await client.until(lambda: it.open_ids() == [])
            assert it.ask("resume", session=session) == {"error": "DoesNotExistException"}
            await client.close()

    run(main())


def test_an_idle_session_is_closed_with_a_text(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path) as it:
            client, session = await it.client(document=SSH)
            await opened(client)
            it.service.find(session)._active -= 3600  # as if idle for an hour
            await client.send(b"x")
            await client.until(lambda: client.data == b"hellox")
            it.faults(idle_timeout_s=1800)
            assert it.open_ids() == [session]
            it.faults(idle_timeout_s=0.1)
            await client.until(lambda: client.closed)
            assert client.output == "Your session timed out due to inactivity."
            await client.close()

    run(main())


def test_a_resumed_session_continues(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path) as it:
            client, session = await it.client(document=SSH)
            await opened(client)
            stale = it.ask("resume", session=session)
            given = it.ask("resume", session=session)
            client.vanish()
            refused = await Client.open(stale)
            await refused.until(lambda: refused.closed)
            await client.reopen(given)
            await client.send(b" again")
            await client.until(lambda: client.data == b"hello again")
            assert len(client.of_type(5)) == 1
            assert len(it.accepted) == 1
            await refused.close()
            await client.close()

    run(main())


def test_output_is_kept_while_the_client_is_away(tmp_path: Path) -> None:
    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(5)
        await asyncio.sleep(0.1)
        writer.write(b"late")
        await asyncio.sleep(0.1)
        writer.write(b"later")
        await reader.read()

    async def main() -> None:
        async with lab(tmp_path, late) as it:
            client, session = await it.client(document=SSH)
            await client.handshake()
            await client.send_surely(b"hello")
            client.vanish()
            await asyncio.sleep(0.3)
            await client.reopen(it.ask("resume", session=session))
            await client.until(lambda: client.data == b"latelater")
            await client.close()

    run(main())


def test_terminate_and_close_text_reach_the_client(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path) as it:
            client, session = await it.client(document=SSH)
            await opened(client)
            assert it.ask("terminate", session=session) == {"SessionId": session}
            await client.until(lambda: client.closed)
            closed = client.named("channel_closed")[0].json
            assert closed["SessionId"] == session
            assert closed["Output"] == ""
            assert client.socket.protocol.close_code == 1000
            assert it.ask("terminate", session=session) == {"SessionId": session}
            assert "error" in it.ask("terminate", session="nobody")
            await client.close()
            it.faults(close_with_text="Go away.")
            client, _ = await it.client()
            await client.until(lambda: client.closed)
            assert client.output == "Go away."
            await client.close()

    run(main())


def test_a_client_that_connects_to_an_ended_session_gets_its_output(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path) as it:
            given = it.start()
            it.ask("close", session=given["SessionId"], text="Over.")
            client = await Client.open(given)
            await client.until(lambda: client.closed)
            assert client.output == "Over."
            await client.close()

    run(main())


def test_garbage_is_dropped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with lab(tmp_path) as it:
            client, _ = await it.client(document=SSH)
            await client.until(lambda: client.of_type(5))
            await client.socket.send(encode("input_stream_data", b"{nonsense", 0, 0, 6))
            await opened(client)
            header = encode("input_stream_data", b"")
            for junk in (
                b"",
                b"x",
                b"\xff" * 200,
                b"\xff" * 4 + header[4:],
                header[:40] + bytes(8) + header[48:],
                encode("no_such_type", b"?"),
                encode("acknowledge", b"{}", 0, 3),
                encode("acknowledge", b"\xff[", 0, 3),
                encode("channel_closed", b"", 0, 3),
                "text",
            ):
                await client.socket.send(junk)
            await client.send(b"!")
            await client.until(lambda: client.data == b"hello!")
            await client.close()

    run(main())
    assert len(caplog.records) >= 8
