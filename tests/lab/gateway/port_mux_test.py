from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sm_proxy_lab.gateway.port_mux import MuxPort

from .scripted_client import (
    FIN,
    LOCAL,
    NOP,
    PSH,
    REMOTE,
    SYN,
    Client,
    LateReader,
    frame,
    frames,
    lab,
    run,
)

if TYPE_CHECKING:
    from pathlib import Path


async def _stream(client: Client, number: int = 3) -> None:
    await client.send_surely(frame(SYN, number))


@pytest.mark.parametrize("document", [REMOTE, LOCAL])
def test_data_is_echoed_and_terminate_ends_the_session(tmp_path: Path, document: str) -> None:
    async def main() -> None:
        async with lab(tmp_path) as it:
            client, session = await it.client(document=document)
            await client.handshake()
            await _stream(client)
            await client.send(frame(PSH, 3, b"hello"))
            await client.until(lambda: frames(client.data) == [(PSH, 3, b"hello")])
            assert it.open_ids() == [session]
            await client.flag(2)
            await client.until(lambda: client.closed)
            assert client.output == ""
            assert client.sequence - 1 in client.acked
            assert it.open_ids() == []
            await client.close()

    run(main())


def test_a_frame_may_come_in_many_messages(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path) as it:
            client, _ = await it.client()
            await client.handshake()
            await _stream(client)
            whole = frame(PSH, 3, b"ab") + frame(NOP, 0) + frame(PSH, 3, b"cd")
            for byte in whole:
                await client.send(bytes([byte]))
            await client.until(lambda: b"".join(d for _, _, d in frames(client.data)) == b"abcd")
            await client.close()

    run(main())


def test_streams_are_independent(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path) as it:
            client, _ = await it.client()
            await client.handshake()
            await client.send_surely(frame(SYN, 3) + frame(SYN, 5) + frame(PSH, 5, b"five"))
            await client.until(lambda: frames(client.data) == [(PSH, 5, b"five")])
            await client.send(frame(FIN, 3) + frame(PSH, 7, b"nobody"))
            await client.until(lambda: (FIN, 3, b"") in frames(client.data))
            await client.send(frame(PSH, 5, b"still"))
            await client.until(lambda: (PSH, 5, b"still") in frames(client.data))
            assert len(it.accepted) == 2
            await client.close()

    run(main())


def test_a_target_that_closes_sends_fin_and_the_session_stays(tmp_path: Path) -> None:
    async def hello(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"bye")

    async def main() -> None:
        async with lab(tmp_path, hello) as it:
            client, session = await it.client()
            await client.handshake()
            await _stream(client)
            await client.until(lambda: frames(client.data) == [(PSH, 3, b"bye"), (FIN, 3, b"")])
            assert it.open_ids() == [session]
            await client.close()

    run(main())


def test_data_before_the_clients_fin_is_delivered(tmp_path: Path) -> None:
    got = bytearray()

    async def sink(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            got.extend(data)

    async def main() -> None:
        async with lab(tmp_path, sink, dial_ms=20) as it:
            client, _ = await it.client()
            await client.handshake()
            await client.send_surely(frame(SYN, 3) + frame(PSH, 3, b"last words") + frame(FIN, 3))
            await client.until(lambda: (FIN, 3, b"") in frames(client.data))
            await client.until(lambda: got == b"last words")
            await client.close()

    run(main())


def test_a_failed_dial_sends_a_flag_and_a_fin(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path) as it:
            client, session = await it.client(port=1)
            await client.handshake()
            await _stream(client)
            await client.until(lambda: frames(client.data) == [(FIN, 3, b"")])
            flags = client.of_type(10)
            assert [m.payload for m in flags] == [b"\0\0\0\3"]
            assert flags[0].sequence < client.of_type(1)[0].sequence
            assert it.open_ids() == [session]
            await client.close()

    run(main())


@pytest.mark.parametrize(
    ("client_version", "agent_version"), [("0.0.1", "3.3.1230.0"), ("1.2.677.0", "3.0.196.0")]
)
def test_old_versions_use_no_mux(tmp_path: Path, client_version: str, agent_version: str) -> None:
    async def main() -> None:
        async with lab(tmp_path) as it:
            client, _ = await it.client(document=LOCAL, agent_version=agent_version)
            await client.handshake(client_version)
            await client.send_surely(b"plain")
            await client.until(lambda: client.data == b"plain")
            await client.close()

    run(main())


def test_an_old_client_is_closed_without_keep_alives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = MuxPort._watch

    async def main() -> None:
        heard = asyncio.Event()

        async def watch_from_then(port: MuxPort) -> None:
            await heard.wait()
            await watch(port)

        monkeypatch.setattr(MuxPort, "_watch", watch_from_then)
        async with lab(tmp_path, smux_ping_s=0.03, smux_timeout_s=0.15) as it:
            client, _ = await it.client()
            await client.handshake("1.2.331.0")
            await _stream(client)
            await client.until(lambda: frames(client.data)[:2] == [(NOP, 0, b""), (NOP, 0, b"")])
            heard.set()
            await client.until(lambda: client.closed)
            assert client.output == ""
            await client.close()

    run(main())


def test_a_new_client_needs_no_keep_alive(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path, smux_ping_s=0.02, smux_timeout_s=0.05) as it:
            client, _ = await it.client()
            await client.handshake("1.2.339.0")
            await asyncio.sleep(0.15)
            assert client.data == b""
            assert not client.closed
            await client.close()

    run(main())


def test_a_wrong_smux_frame_stops_the_session(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path) as it:
            client, session = await it.client()
            await client.handshake()
            await _stream(client)
            await client.send(b"\2" + frame(NOP, 0)[1:])
            await client.send(frame(PSH, 3, b"hello"))
            await client.until(lambda: 3 in client.acked)
            await asyncio.sleep(0.05)
            assert client.data == b""
            assert it.open_ids() == [session]
            await client.close()

    run(main())


def test_unread_data_stops_acks_beyond_the_receive_buffer(tmp_path: Path) -> None:
    slow = LateReader()

    async def main() -> None:
        async with lab(tmp_path, slow, message_rate_limit=None) as it:
            client, session = await it.client()
            await client.handshake()
            await _stream(client)

            async def upload() -> None:
                for _ in range(640):
                    await client.send(frame(PSH, 3, bytes(32760)))

            sending = asyncio.create_task(upload())
            await client.until(lambda: len(client.acked) * 32760 > 4 << 20)
            await client.until(lambda: it.worker(session).channel._blocked)
            await asyncio.sleep(0.3)
            assert len(client.acked) * 32760 < 19 << 20
            slow.release.set()
            await sending
            await client.until(lambda: len(client.acked) == 642)
            await client.until(lambda: slow.total == 640 * 32760)
            await client.close()

    run(main())
