from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from sm_proxy_lab.gateway.faults import Faults
from sm_proxy_lab.gateway.instances import Instances

from .scripted_client import SSH, Lab, lab, run

if TYPE_CHECKING:
    from pathlib import Path


async def end(it: Lab, target: str = "i-0") -> None:
    """Wait for sshd's end: a process that still runs would be reported as left behind."""
    instance = it.service.instances.find(target)
    instance.stop()
    assert instance._child is not None
    await instance._child.wait()


def test_port_22_of_an_instance_is_its_own_sshd(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path) as it:
            client, _ = await it.client(document=SSH, port=22)
            await client.handshake()
            await client.until(lambda: client.data.startswith(b"SSH-2.0-"))
            key = {"user": "ec2-user", "key": "ssh-ed25519 AAAA"}
            assert it.ask("push-key", target="i-0", **key) == {}
            pushed = tmp_path / "instances/i-0/root/opt/pushed/ec2-user"
            assert pushed.read_text() == "ssh-ed25519 AAAA\n"
            assert len(it.ask("host-keys", target="i-0")["keys"]) == 2
            await client.close()
            await end(it)

    run(main())


def test_without_the_instance_connect_package_no_key_arrives(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path, instance_connect=False) as it:
            key = {"user": "ec2-user", "key": "ssh-ed25519 AAAA"}
            assert it.ask("push-key", target="i-0", **key) == {}
            assert not (tmp_path / "instances").exists()

    run(main())


def test_a_session_to_a_stopped_sshd_says_so_where_the_agent_does(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path, bastion_sshd=False, deliver_dial_error=True) as it:
            client, _ = await it.client(document=SSH, port=22)
            await client.handshake()
            await client.until(lambda: client.closed)
            assert "connection refused" in (client.output or "")
            await client.close()

    run(main())


def test_after_the_end_of_an_instance_the_next_one_gets_its_port(tmp_path: Path) -> None:
    async def main() -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        instances = Instances(tmp_path, port)
        first, second = (instances.find(target) for target in ("i-1", "i-2"))
        assert (first.port, second.port) == (port, 0)
        assert await instances.sshd("i-1", Faults()) == port
        instances.forget("i-1")
        instances.forget("i-2")
        instances.forget("i-3")  # no session has ever gone there
        assert await instances.sshd("i-4", Faults()) == port
        instances.close()
        await instances.find("i-4").ended()

    asyncio.run(main())
