"""The machine of a HyperPod node."""

from __future__ import annotations

import asyncio
import getpass
import json
import os
import socket
import subprocess
from pathlib import Path

from sm_proxy_lab.machines import namespaces
from sm_proxy_lab.machines.cluster_node import USER, ClusterMachine, authorize
from sm_proxy_lab.machines.network import LoopbackNetwork
from sm_proxy_lab.machines.software import find_software

ISOLATED = os.geteuid() == 0 and namespaces.may_isolate(namespaces.CONTAINER)


async def log_in(key: Path, machine: ClusterMachine, command: str) -> str:
    """The output of a command there."""
    where = [f"{USER if ISOLATED else getpass.getuser()}@{machine.cable.address}"]
    known = key.with_name("known_hosts")
    options = ["-F", "none", "-o", f"UserKnownHostsFile={known}", "-o", "IdentitiesOnly=yes"]
    options += ["-o", "StrictHostKeyChecking=accept-new", "-o", "BatchMode=yes", "-i", str(key)]
    process = await asyncio.create_subprocess_exec(
        *["ssh", "-q", *options, "-p", str(machine.cable.port), *where, command],
        stdout=subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode().strip()


def test_the_nodes_of_a_cluster_share_their_home_and_keys(tmp_path: Path) -> None:
    key, home, agents = tmp_path / "key", tmp_path / "home", tmp_path / "agents"
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
    subprocess.run(words, check=True)
    authorize(home, key.with_suffix(".pub").read_text().strip(), isolated=ISOLATED)
    network, software = LoopbackNetwork(), find_software()

    async def main() -> None:
        machines = [
            ClusterMachine(
                tmp_path / name, home, network.plug_node(None), f"t-{name}", ISOLATED, software
            )
            for name in ("one", "two")
        ]
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(str(agents))
            listener.listen()
            await asyncio.gather(*(machine.start(agents) for machine in machines))
            connections = [listener.accept()[0] for _ in machines]
            hellos = [json.loads(connection.recv(1 << 16)) for connection in connections]
            assert {hello["target"] for hello in hellos} == {"t-one", "t-two"}
            assert {hello["ports"]["22"] for hello in hellos} == {str(machines[0].cable.port)}
            await log_in(key, machines[0], f"touch {home if not ISOLATED else '~'}/mine")
            if ISOLATED:
                said = await log_in(key, machines[1], "ls ~; pwd; hostname")
                name = f"ip-{machines[1].cable.address.replace('.', '-')}"
                assert said.split() == ["mine", f"/home/{USER}", name]
            for machine in machines:
                await machine.stop()
            for connection in connections:
                assert connection.recv(1) == b""
                connection.close()
        await asyncio.gather(*(m._agent.wait() for m in machines if m._agent))

    asyncio.run(main())
    network._claim.close()
