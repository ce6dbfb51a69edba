"""The supervisor's side of the terminals: it makes them, and gives them to the command prefixes."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import logging
import shlex
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sm_proxy_lab.errors import LabError
from sm_proxy_lab.machines import network, role_credentials
from sm_proxy_lab.python import python_module
from sm_proxy_lab.ssh_programs import write_script
from sm_proxy_lab.terminals import TERMINALS
from sm_proxy_lab.terminals.place import Handler, Site, Terminal

_MAX_REQUEST = 1024


@dataclass
class TerminalServer:
    """Makes each terminal when it is first asked for.

    Attributes:
        site: the lab around the terminals.
        ports: ports on the laptop's 127.0.0.1 that every terminal reaches at its own 127.0.0.1.
        plugging: held while the network is changed.
    """

    site: Site
    ports: Sequence[int]
    plugging: asyncio.Lock
    _made: dict[str, Terminal] = field(default_factory=dict)
    _servers: list[asyncio.Server] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def variables(self) -> dict[str, str]:
        """Write the command prefixes; return the variables of CMD that name them."""
        path, found = self.site.folder / "socket", {}
        (self.site.folder / "stage").mkdir(parents=True, exist_ok=True)
        for name in TERMINALS:
            script = self.site.folder / name
            run = [*python_module("sm_proxy_lab.machines.terminal"), str(path), name]
            write_script(script, f'#!/bin/sh\nexec {shlex.join(run)} "$@"\n')
            found[f"SM_PROXY_LAB_{name.upper()}"] = str(script)
        return found

    async def serve(self) -> None:
        """Answer the command prefixes until the lab ends."""
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(str(self.site.folder / "socket"))
            listener.listen(64)
            listener.setblocking(False)
            while True:
                connection, _ = await loop.sock_accept(listener)
                task = asyncio.create_task(self._answer(connection))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _answer(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with connection, contextlib.suppress(OSError, ValueError, LookupError):
            connection.setblocking(False)
            line = b""
            while not line.endswith(b"\n"):
                line += (more := await loop.sock_recv(connection, _MAX_REQUEST))
                if not more or len(line) > _MAX_REQUEST:
                    return
            name = json.loads(line)["terminal"]
            answer, netns = await self._found(name)
            fds = [] if netns is None else [netns]
            # A new socket has room for all of it.
            socket.send_fds(connection, [json.dumps(answer).encode() + b"\n"], fds)

    async def _found(self, name: str) -> tuple[dict[str, Any], int | None]:
        """The answer for a terminal, and its network namespace."""
        try:
            async with self.plugging:
                terminal = self._made.get(name) or await self._make(name)
        except (LabError, OSError) as error:
            return {"error": str(error)}, None
        except Exception as error:
            # The lab goes on without this terminal.
            logging.getLogger(__name__).exception("the terminal %s broke", name)
            return {"error": repr(error)}, None
        changes = terminal.variables
        answer = {
            "files": terminal.files,
            "stage": str(self.site.folder / "stage"),
            "set": {name: value for name, value in changes.items() if value is not None},
            "unset": [name for name, value in changes.items() if value is None],
        }
        return answer, terminal.netns

    async def _make(self, name: str) -> Terminal:
        terminal = await asyncio.to_thread(TERMINALS[name], self.site)
        servers: list[tuple[socket.socket, Handler]] = [*terminal.servers]
        if terminal.netns is not None:
            for port in self.ports:
                copy = functools.partial(role_credentials.copy_to_laptop, port=port)
                servers.append((network.listen_in(terminal.netns, ("127.0.0.1", port)), copy))
        for server, handler in servers:
            self._servers.append(await asyncio.start_server(handler, sock=server))
        self._made[name] = terminal
        return terminal
