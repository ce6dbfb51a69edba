"""The machine of a HyperPod node: an sshd on port 22, the user `ubuntu`, and an agent.

All nodes of a cluster share their `/home`, as they do with a file system of FSx. Without
namespaces, sshd is a process of this machine: it lets only the user in who runs the lab, at another
port, for which the agent exchanges port 22.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sm_proxy_lab.errors import LabError
from sm_proxy_lab.machines import agent, image
from sm_proxy_lab.machines.processes import Child
from sm_proxy_lab.python import python_module

if TYPE_CHECKING:
    from sm_proxy_lab.machines.network import Cable
    from sm_proxy_lab.machines.software import Software

USER: Final = "ubuntu"
_UID: Final = 61001
_START_S: Final = 60.0
_TICK_S: Final = 0.02
_ARGV: Final = ("/bin/sh", "-c", 'mkdir -p /run/sshd 2>/dev/null; exec "$0" "$@"')
"""root's sshd needs that folder."""
_CONFIG: Final = """\
Port {port}
ListenAddress {address}
HostKey {inside}/host_key
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
AuthorizedKeysFile {keys}
Subsystem sftp internal-sftp
"""


def authorize(home: Path, key: str, *, isolated: bool) -> None:
    """Let a key log in to all nodes of a cluster.

    Args:
        home: what the nodes have as `/home`.
        key: a line of `authorized_keys`.
        isolated: whether the nodes have users of their own.
    """
    folder = home / USER / ".ssh"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "authorized_keys").open("a", encoding="ascii") as file:
        file.write(f"{key}\n")
    if isolated:
        for path in (folder.parent, folder, folder / "authorized_keys"):
            os.chown(path, _UID, _UID)


@dataclass
class ClusterMachine:
    """One machine.

    Attributes:
        folder: for its files.
        home: the cluster's `/home`.
        cable: connects it to the network.
        target: the name that StartSession uses.
        isolated: whether it has namespaces of its own.
        software: its sshd.
        ssh: whether sshd runs. In a cluster of EKS it does not, as far as we know.
    """

    folder: Path
    home: Path
    cable: Cable
    target: str
    isolated: bool
    software: Software
    ssh: bool = True
    _init: Child | None = None
    _agent: Child | None = None

    async def start(self, agents: Path) -> None:
        """Start sshd and the agent; return when sshd listens.

        Args:
            agents: the gateway's unix socket for agents.

        Raises:
            LabError: sshd does not start; the message has its log.
        """
        (self.folder / "root/opt").mkdir(parents=True)
        await asyncio.to_thread(self._write_files)
        spec = self.folder / "spec.json"
        spec.write_text(json.dumps(self._spec()), encoding="utf-8")
        netns = self.cable.netns
        log = self.folder / "sshd.log"
        with log.open("wb") as output:
            init = self._init = Child(
                [*python_module("sm_proxy_lab.machines.container_init"), str(spec)],
                pass_fds=[netns] if netns is not None else [],
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._start_agent(agents, init.process.pid)
        if not self.ssh:
            return
        until = time.monotonic() + _START_S
        while b"Server listening" not in (said := log.read_bytes()):
            if not init.running or time.monotonic() > until:
                text = said.decode(errors="replace")[-500:]
                raise LabError(f"the sshd of {self.target} does not start: {text}")
            await asyncio.sleep(_TICK_S)

    async def stop(self) -> None:
        """Kill the machine and all its connections; its agent ends with it."""
        if self._agent is not None:
            self._agent.send(signal.SIGTERM)
        if self._init is not None:
            self._init.send(signal.SIGUSR1)  # see container_init
            await self._init.wait()

    def _start_agent(self, agents: Path, launcher: int) -> None:
        own_loopback = self.cable.netns is not None
        home = "/root" if self.isolated else str(self.home / USER)
        spec = {
            "gateway": str(agents),
            "target": self.target,
            "addresses": ["::1" if own_loopback else self.cable.address, "127.0.0.1"],
            "ports": {"22": str(self._port)},
            "launcher": launcher if self.isolated else None,
            "environment": {"PATH": agent.PATH, "HOME": home},
        }
        self._agent = Child(
            [*python_module("sm_proxy_lab.machines.agent"), json.dumps(spec)],
            netns=self.cable.netns,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
        )

    @property
    def _port(self) -> int:
        return self.cable.port or 22

    @property
    def _name(self) -> str:
        return f"ip-{self.cable.address.replace('.', '-')}"

    def _write_files(self) -> None:
        root = self.folder / "root"
        image.write_etc(root, host=self._name, addresses={self._name: self.cable.address})
        for name, line in (
            ("passwd", f"{USER}:x:{_UID}:{_UID}:Ubuntu:/home/{USER}:/bin/bash"),
            ("shadow", f"{USER}:*:19000:0:99999:7:::"),
        ):
            file = root / "etc" / name
            rows = file.read_text(encoding="utf-8").splitlines()
            rows = [row for row in rows if row.split(":")[0] != USER]
            file.write_text("\n".join([*rows, line, ""]), encoding="utf-8")
        words = ("-q", "-t", "ed25519", "-N", "", "-C", f"root@{self._name}")
        key = str(root / "opt/host_key")
        subprocess.run(["ssh-keygen", *words, "-f", key], check=True, stdin=subprocess.DEVNULL)
        keys = "%h" if self.isolated else str(self.home / USER)  # root has none on a node
        config = _CONFIG.format(
            port=self._port,
            address="0.0.0.0" if self.cable.netns is not None else self.cable.address,  # noqa: S104
            inside=self._inside,
            keys=f"{keys}/.ssh/authorized_keys",
        )
        (root / "opt/sshd_config").write_text(config, encoding="utf-8")

    @property
    def _inside(self) -> Path:
        """Our files, as sshd sees them."""
        return Path("/opt") if self.isolated else self.folder / "root/opt"

    def _spec(self) -> dict[str, object]:
        """The instructions for `container_init`."""
        software = self.software
        sshd = software.sshd_inside if self.isolated else software.sshd
        server = [sshd, "-D", "-e", "-f", str(self._inside / "sshd_config")]
        return {
            "isolated": self.isolated,
            "netns": self.cable.netns,
            "hostname": self._name,
            "root": str(self.folder / "root"),
            "image": "",
            "binds": software.binds,
            "mounts": {"/home": str(self.home)} if Path("/home").is_dir() else {},
            "argv": [*_ARGV, *server] if self.ssh else ["sleep", "infinity"],
            "environment": {"PATH": agent.PATH, "HOME": "/root"},
        }
