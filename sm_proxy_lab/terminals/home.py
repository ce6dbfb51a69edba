"""The laptop at home, in a LAN that happens to use the VPC's addresses.

A foreign host answers at every address of the containers' subnets: with an sshd on their ports and
host keys of its own. The laptop has the bastion's own address there, but not its MAC.
What the foreign host receives is recorded: see `ForeignHost`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sm_proxy_lab.machines import namespaces
from sm_proxy_lab.machines.instance import Instance
from sm_proxy_lab.machines.network import BASTION_SUBNET, NODE_SUBNETS, Fabric, listen_in
from sm_proxy_lab.terminals.place import Handler, Site, Terminal

_PORTS: Final = (22, 2222)
"""Where our entrypoint starts sshd: 2222 if 22 is not available."""
_OWN_PORT: Final = 60022
_FOREIGN: Final = "10.0.143.250"


def build(site: Site) -> Terminal:
    """Connect laptop and foreign host to a router."""
    address = site.namespaces().bastion.address
    router = Fabric()
    laptop = router.plug(BASTION_SUBNET, address=address)
    foreign = router.plug(BASTION_SUBNET, address=_FOREIGN)
    for cidr in NODE_SUBNETS:
        router.send_all_to(cidr, foreign)
    assert foreign.netns is not None  # noqa: S101 - for the type checker
    seen = site.folder / "home-seen.jsonl"
    seen.touch(mode=0o600)
    host = ForeignHost(foreign.netns, site.folder / "foreign", seen)
    servers: list[tuple[socket.socket, Handler]] = [
        (listen_in(foreign.netns, ("0.0.0.0", port)), host.serve)  # noqa: S104 - a namespace
        for port in _PORTS
    ]
    variables = {
        "AWS_EC2_METADATA_DISABLED": None,
        "SM_PROXY_PROBE": None,
        "SM_PROXY_LAB_HOME_SEEN": str(seen),
    }
    return Terminal(laptop.netns, variables=variables, servers=servers)


@dataclass
class ForeignHost:
    """An sshd, and a record of what clients send to it.

    Attributes:
        netns: descriptor of its network namespace.
        folder: for its files; it is made with the first connection.
        seen: a file with a JSON line for each connection that has ended: when it `began` (Unix
            seconds), `address` and `port` that the client has dialled, and `received`, its bytes in
            hex.
    """

    netns: int
    folder: Path
    seen: Path
    _sshd: Instance | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection to sshd and record it."""
        began, received = time.time(), bytearray()
        with contextlib.suppress(OSError):
            there, back = await self._dial()
            up = asyncio.create_task(_copy(reader, back, received))
            await _copy(there, writer, bytearray())
            await up
        address, port = writer.get_extra_info("sockname")[:2]
        seen = {"began": began, "address": address, "port": port, "received": received.hex()}
        with self.seen.open("a", encoding="ascii") as file:
            file.write(json.dumps(seen) + "\n")
        writer.close()

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._sshd is None:
            self.folder.mkdir()
            self._sshd = Instance(self.folder, _OWN_PORT, self.netns)
        port = await self._sshd.listening()
        with namespaces.entered(self.netns):
            dialled = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        dialled.setblocking(False)
        await asyncio.get_running_loop().sock_connect(dialled, ("127.0.0.1", port))
        return await asyncio.open_connection(sock=dialled)


async def _copy(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, record: bytearray
) -> None:
    """Copy until the sender has ended, and add all bytes to `record`."""
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            record += data
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()
