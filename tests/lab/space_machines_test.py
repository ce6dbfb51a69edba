"""The container of a space's app."""

from __future__ import annotations

import asyncio
import getpass
import socket
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, cast

import paramiko
import pytest

from sm_proxy_lab.account import Account
from sm_proxy_lab.aws.control_client import ControlClient
from sm_proxy_lab.containers import ContainerRunner
from sm_proxy_lab.gateway.agents import Agents
from sm_proxy_lab.job_log import ControlQueue
from sm_proxy_lab.machines.network import LoopbackNetwork
from sm_proxy_lab.machines.software import Software
from sm_proxy_lab.space_machines import USER, SpaceMachines
from tests.lab.conftest import ISOLATED

_NOWHERE = "http://127.0.0.1:1"


def _event(number: int) -> dict[str, Any]:
    names = {"domain": "d-1", "space": "My-Space", "app_type": "JupyterLab"}
    target = f"sagemaker-space:d-1_My-Space-{number}"
    return {"job": target, "arn": "arn:x", "region": "us-east-1", **names}


def _say(connection: socket.socket, command: str) -> tuple[bytes, str]:
    """The host key, and the output of a command."""
    transport = paramiko.Transport(connection)
    try:
        transport.start_client(timeout=60)
        transport.auth_none("whoever")
        channel = transport.open_session()
        channel.exec_command(command)
        output = b"".join(iter(lambda: channel.recv(1000), b""))
        assert channel.recv_exit_status() == 0
        return transport.get_remote_server_key().asbytes(), output.decode()
    finally:
        transport.close()


@pytest.mark.parametrize("isolated", [False, *[True] * ISOLATED])
def test_an_app_has_a_user_a_home_that_stays_and_a_key_that_does_not(
    tmp_path: Path, isolated: bool
) -> None:
    network = LoopbackNetwork()
    lost = asyncio.Queue[str]()

    async def connected(agents: Agents, event: dict[str, Any]) -> socket.socket:
        while (agent := agents.find(event["job"])) is None:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.01)
        assert agent.serves_ssh
        return await agent.open_ssh()

    async def main() -> None:
        runner = ContainerRunner(
            *(tmp_path / "containers", network, ControlQueue(ControlClient(_NOWHERE)), _NOWHERE),
            Software(),
            isolated=isolated,
            agents=tmp_path / "agents",
        )
        spaces = SpaceMachines(tmp_path / "spaces", runner, Account(_NOWHERE))
        agents = Agents(lost.put_nowait)
        agents.listen(runner.agents)
        said = []
        for number, command in enumerate(("id -un; pwd; echo $HOME; touch ~/mine", "ls ~")):
            event = {"event": "app-created", **_event(number)}
            await spaces.handle(event)
            connection = await _within(connected(agents, event))
            connection.setblocking(True)
            said.append(await asyncio.to_thread(_say, connection, command))
            machine = spaces._running[event["job"]]
            await _within(spaces.handle({**event, "event": "app-deleted"}))
            assert not machine.init.running
            assert await _within(lost.get()) == event["job"]
        (first_key, first), (second_key, second) = said
        user = USER if isolated else getpass.getuser()
        own = tmp_path / "spaces/us-east-1/d-1/My-Space/home" / USER
        home = f"/home/{USER}" if isolated else str(own)
        assert first.split() == [user, home, home]
        assert second.split() == ["mine"]
        assert first_key != second_key
        agents.close()

    asyncio.run(main())
    network._claim.close()


async def _within(work: Coroutine[Any, Any, Any]) -> Any:
    return await asyncio.wait_for(work, 60)


def test_an_app_that_is_deleted_while_it_starts_does_not_stay(tmp_path: Path) -> None:
    network = LoopbackNetwork()

    async def main() -> None:
        runner = ContainerRunner(
            *(tmp_path / "containers", network, cast("ControlQueue", None), _NOWHERE),
            Software(),
            agents=tmp_path / "agents",
        )
        spaces = SpaceMachines(tmp_path / "spaces", runner, Account(_NOWHERE))
        await spaces.handle({"event": "app-deleted", **_event(1)})
        await _within(spaces.handle({"event": "app-created", **_event(1)}))
        assert not spaces._running

    asyncio.run(main())
    network._claim.close()
