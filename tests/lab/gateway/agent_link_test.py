from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sm_proxy_lab.gateway.agent_link import AgentLink

from .scripted_client import SSH, lab, opened, run

if TYPE_CHECKING:
    from pathlib import Path


def test_the_agent_reconnects_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    due: list[AgentLink] = []
    reconnect = AgentLink._reconnect

    def reconnect_later(link: AgentLink) -> None:
        due.append(link)

    monkeypatch.setattr(AgentLink, "_reconnect", reconnect_later)

    async def main() -> None:
        async with lab(tmp_path, agent_reconnect_ms=100) as it:
            client, session = await it.client(document=SSH)
            await opened(client)
            it.ask("cut", session=session, side="agent")
            await client.until(lambda: client.named("pause_publication"))
            await client.send_as(2, b"lost")
            await (await client.socket.ping())  # the message has arrived by the pong
            await client.until(lambda: due)
            reconnect(due[0])
            await client.until(lambda: client.named("start_publication"))
            assert 2 not in client.acked
            await client.send_as(2, b"kept")
            await client.until(lambda: client.data == b"hellokept")
            await client.close()

    run(main())


_BLOCK = bytes(1024)


@pytest.mark.parametrize("reacking", [False, True], ids=["reference client", "acks again"])
def test_cuts_stall_a_client_that_acks_only_once(tmp_path: Path, *, reacking: bool) -> None:
    """As with the real agent and plugin: the agent resends its oldest message for ever."""

    async def main() -> None:
        written = 0
        stop = asyncio.Event()

        async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal written
            await reader.read(1)
            while not stop.is_set():  # a fixed length might be through before the last cut
                writer.write(_BLOCK)
                written += len(_BLOCK)
                await writer.drain()
                await asyncio.sleep(0.005)
            await reader.read()

        async with lab(tmp_path, flood, agent_returns=False, pause_ms=5) as it:
            client, session = await it.client(document=SSH)
            client.reacking = reacking
            await client.handshake()
            await client.send_surely(b"x")
            link = it.service.find(session)._link
            outgoing = it.worker(session).channel.outgoing
            for _ in range(2 if reacking else 1):
                before = len(client.data)
                await client.until(lambda: len(client.data) > before)  # noqa: B023
                it.ask("cut", session=session, side="agent")
                # The cut loses the acks on their way. The client gets the first message sent after
                # the cut; the others are lost.
                sent = len(outgoing)
                await client.until(lambda: len(outgoing) >= sent + 3)  # noqa: B023
                link._reconnect()
            if reacking:
                stop.set()
                await client.until(lambda: len(client.data) == written)
                await client.close()
                return
            (oldest, *_), had = outgoing._messages, len(client.data)

            def again() -> int:
                return [message.sequence for message in client.messages].count(oldest)

            times = again()
            await client.until(lambda: again() >= times + 5)
            assert oldest < client.expected
            assert len(client.data) == had < written
            stop.set()
            await client.close()

    run(main())
