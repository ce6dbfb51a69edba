from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sm_proxy_lab.gateway.agent_link import AgentLink

from .scripted_client import SSH, lab, opened, run

if TYPE_CHECKING:
    from pathlib import Path


def test_agent_comes_back_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
            await (await client.socket.ping())  # by the pong it has got there
            await client.until(lambda: due)
            reconnect(due[0])
            await client.until(lambda: client.named("start_publication"))
            assert 2 not in client.acked
            await client.send_as(2, b"kept")
            await client.until(lambda: client.data == b"hellokept")
            await client.close()

    run(main())
