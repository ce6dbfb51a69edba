"""The instances behind the gateway, and the sshd of each on port 22 of its own 127.0.0.1."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from sm_proxy_lab.gateway.faults import Faults
    from sm_proxy_lab.machines.instance import Instance

SSH_PORT = "22"


class Instances:
    """All instances.

    They share one 127.0.0.1, so only one may really listen on port 22: the first, or after its end
    the next one.

    Args:
        folder: for their files.
        port: where the sshd of that instance listens; 0 for a free port.
    """

    def __init__(self, folder: Path, port: int = 0) -> None:
        self._folder = folder
        self._port = port
        self._known: dict[str, Instance] = {}
        self._gone: list[Instance] = []

    def find(self, target: str) -> Instance:
        """The instance with this id."""
        from sm_proxy_lab.machines.instance import Instance  # noqa: PLC0415 - few labs need it

        if target not in self._known:
            folder = self._folder / target
            folder.mkdir(parents=True)
            self._known[target] = Instance(folder, 0 if self._known else self._port)
        return self._known[target]

    def forget(self, target: str) -> None:
        """End an instance: it was terminated."""
        if (instance := self._known.pop(target, None)) is not None:
            instance.stop()
            self._gone.append(instance)

    async def sshd(self, target: str, faults: Faults) -> int:
        """The port on 127.0.0.1 at which the sshd of an instance listens; it is started if needed.

        Raises:
            LabError: it does not start.
        """
        if not faults.bastion_sshd:
            with socket.socket() as unused:
                unused.bind(("127.0.0.1", 0))
                return int(unused.getsockname()[1])
        from sm_proxy_lab.machines.instance import Sshd  # noqa: PLC0415 - as in `find`

        while self._gone:  # one of them may still listen on the port
            await self._gone.pop().ended()
        wanted = Sshd(faults.bastion_forwarding, faults.bastion_host_keys, faults.bastion_rekey_kib)
        return await self.find(target).listening(wanted)

    def close(self) -> None:
        """End everything."""
        for instance in self._known.values():
            instance.stop()
