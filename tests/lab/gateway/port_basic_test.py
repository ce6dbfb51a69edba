from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest
from websockets.exceptions import ConnectionClosed

from sm_proxy_lab.gateway import worker
from sm_proxy_lab.gateway.port_basic import BasicPort

from .scripted_client import LOCAL, SSH, lab, run

if TYPE_CHECKING:
    from pathlib import Path


async def _greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"*" * 3000)
    with contextlib.suppress(OSError):
        await reader.read(1)


def test_the_session_ends_after_the_data_when_the_target_closes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    async def main() -> None:
        async with lab(tmp_path, _greet) as it:
            client, _ = await it.client(document=SSH)
            await client.handshake()
            await client.send_surely(b"x")
            await client.until(lambda: client.closed)
            assert client.data == b"*" * 3000
            assert client.output == ""
            assert it.open_ids() == []
            await client.close()

    run(main())
    assert caplog.messages == []


def test_the_worker_waits_for_acks_before_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert worker.LINGER == 2
    monkeypatch.setattr(worker, "LINGER", 0.3)

    async def main() -> None:
        async with lab(tmp_path, _greet) as it:
            client, _ = await it.client(document=SSH)
            await client.handshake()
            client.acking = False
            begin = asyncio.get_running_loop().time()
            await client.send_surely(b"x")
            await client.until(lambda: client.closed)
            assert asyncio.get_running_loop().time() - begin > 0.28
            await client.close()

    run(main())


def test_terminate_flag_closes_the_target(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path) as it:
            client, _ = await it.client(document=SSH)
            await client.handshake()
            await client.send_surely(b"x")
            await client.flag(2)
            await client.until(lambda: client.closed)
            assert 2 in client.acked
            assert client.output == ""
            await client.until(lambda: it.accepted and it.accepted[0].is_closing())
            await client.close()

    run(main())


def test_an_old_agent_ignores_the_terminate_flag(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path) as it:
            client, session = await it.client(document=SSH, agent_version="2.3.700.0")
            await client.handshake()
            await client.send_surely(b"x")
            await client.flag(2)
            await client.until(lambda: 2 in client.acked)
            assert it.open_ids() == [session]
            await client.close()

    run(main())


def test_disconnect_flag_ends_an_ssh_session(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path) as it:
            client, _ = await it.client(document=SSH)
            await client.handshake()
            await client.send_surely(b"x")
            await client.flag(1)
            await client.until(lambda: client.closed)
            assert client.output == ""
            await client.close()

    run(main())


def test_a_forwarding_session_dials_again_after_the_end(tmp_path: Path) -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(10))

    async def main() -> None:
        async with lab(tmp_path, once) as it:
            client, session = await it.client(document=LOCAL)
            await client.handshake("0.0.1")
            await client.send_surely(b"one")
            await client.until(lambda: client.data == b"one")
            port = it.worker(session)._port
            assert isinstance(port, BasicPort)
            await client.until(lambda: port._redial)
            assert it.open_ids() == [session]
            await client.send_surely(b"two")
            await client.until(lambda: client.data == b"onetwo")
            assert len(it.accepted) == 2
            await client.flag(1)
            await client.send_surely(b"six")
            await client.until(lambda: client.data == b"onetwosix")
            await client.close()

    run(main())


def test_failed_dial_crashes_the_worker(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path, crash_notice_s=0.1) as it:
            client, _ = await it.client(document=SSH, port=1)
            await client.handshake()
            with contextlib.suppress(ConnectionClosed):  # the session may be closed already
                await client.send(b"x")
            await client.until(lambda: client.closed)
            assert 1 not in client.acked
            assert client.output is not None
            assert client.output.startswith("document process failed unexpectedly")
            await client.close()

    run(main())


def test_a_failed_dial_is_reported_with_the_fault(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path, deliver_dial_error=True) as it:
            client, _ = await it.client(port=1)
            await client.handshake("0.0.1")
            await client.until(lambda: client.closed)
            assert client.output == (
                "Unable to connect to specified port: "
                "dial tcp 127.0.0.1:1: connect: connection refused"
            )
            await client.close()

    run(main())
