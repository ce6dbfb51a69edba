"""The agents in training containers that are connected to the gateway (`machines/agent.py`)."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import socket
import subprocess
from typing import TYPE_CHECKING, Any, NamedTuple

from sm_proxy_lab.machines.agent import MAX_MESSAGE, PATH
from sm_proxy_lab.python import python_module

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Terminal(NamedTuple):
    """A shell: its pid in the container, and the master of its pty, which is the caller's."""

    pid: int
    master: int


class Agent:
    """One connected agent."""

    def __init__(self, connection: socket.socket, on_change: Callable[[Agent], None]) -> None:
        """Read what it sends; `on_change` is called when it is known and when it is lost."""
        self.target = ""
        self.addresses: list[str] = []
        self.ports: dict[str, str] = {}
        self.serves_ssh = False
        self.connected = True
        self._connection = connection
        self._on_change = on_change
        self._loop = asyncio.get_running_loop()
        self.since = self._loop.time()
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[tuple[dict[str, Any], list[int]]]] = {}
        connection.setblocking(False)
        self._loop.add_reader(connection, self._read)

    @property
    def age_s(self) -> float:
        """For how long it has been connected, in seconds."""
        return self._loop.time() - self.since

    async def open_ssh(self) -> socket.socket:
        """Make a connection to the ssh server of a space.

        Raises:
            OSError: The agent cannot, or is gone.
        """
        _, (handle,) = await self._ask("ssh")
        made = socket.socket(fileno=handle)
        made.setblocking(False)
        return made

    async def open_socket(self, family: int) -> socket.socket:
        """Make a TCP socket in the container's network.

        Raises:
            OSError: The agent cannot, or is gone.
        """
        _, (handle,) = await self._ask("socket", family=family)
        made = socket.socket(fileno=handle)
        made.setblocking(False)
        return made

    async def open_shell(self) -> Terminal:
        """Start a shell on a pty.

        Raises:
            OSError: The agent cannot, or is gone.
        """
        answer, (master,) = await self._ask("shell")
        return Terminal(answer["pid"], master)

    def kill(self, pid: int) -> None:
        """Kill a shell."""
        with contextlib.suppress(OSError):
            self._send({"id": next(self._numbers), "op": "kill", "pid": pid})

    def close(self) -> None:
        """Drop the connection: the agent ends."""
        if not self.connected:
            return
        self.connected = False
        self._loop.remove_reader(self._connection)
        self._connection.close()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(ConnectionError("the agent is gone"))
        self._on_change(self)

    async def _ask(self, op: str, **request: object) -> tuple[dict[str, Any], list[int]]:
        number = next(self._numbers)
        self._waiting[number] = self._loop.create_future()
        try:
            self._send({"id": number, "op": op, **request})
            answer, handles = await self._waiting[number]
        finally:
            del self._waiting[number]
        if "error" in answer:
            raise OSError(answer["error"])
        return answer, handles

    def _send(self, message: dict[str, object]) -> None:
        if not self.connected:
            raise ConnectionError("the agent is gone")
        self._connection.send(json.dumps(message).encode())

    def _read(self) -> None:
        try:
            data, handles, *_ = socket.recv_fds(self._connection, MAX_MESSAGE, 1)
        except BlockingIOError:
            return
        except OSError:
            data, handles = b"", []
        if not data:
            self.close()
            return
        message = json.loads(data)
        if not self.target:
            self.target, self.addresses = message["target"], message["addresses"]
            self.ports = message.get("ports", {})
            self.serves_ssh = bool(message.get("ssh"))
            self._on_change(self)
            return
        waiting = self._waiting.get(message["id"])
        if waiting is not None and not waiting.done():
            waiting.set_result((message, handles))
        else:
            for handle in handles:
                os.close(handle)


class Agents:
    """Accepts agents, and finds them by their target."""

    def __init__(self, on_lost: Callable[[str], None]) -> None:
        """Call `on_lost` with a target whose agent is gone."""
        self._on_lost = on_lost
        self._agents: dict[str, Agent] = {}
        self._listener: socket.socket | None = None
        self._local: Agent | None = None
        self._process: subprocess.Popen[bytes] | None = None  # of the local agent

    def listen(self, path: Path) -> None:
        """Accept agents on a unix socket."""
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(path))
        self._listener.listen(128)
        self._listener.setblocking(False)
        asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def find(self, target: str, *, age_s: float = 0) -> Agent | None:
        """Return the agent of a target, if it has been connected for `age_s` seconds."""
        agent = self._agents.get(target)
        return None if agent is None or agent.age_s < age_s else agent

    def local(self, home: Path) -> Agent:
        """Return the agent of this process's own machine, for shells on the bastion.

        Args:
            home: the home folder of shells, which must not be the user's.
        """
        if self._local is None or not self._local.connected:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            environment = {"PATH": PATH, "HOME": str(home)}
            spec = {"fd": theirs.fileno(), "target": "local", "addresses": []}
            command = [
                *python_module("sm_proxy_lab.machines.agent"),
                json.dumps({**spec, "environment": environment}),
            ]
            self._process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL
            )
            theirs.close()
            self._local = Agent(ours, self._changed)
        return self._local

    def close(self) -> None:
        """Drop all agents."""
        if self._listener:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
        for agent in [*self._agents.values(), *([self._local] if self._local else [])]:
            agent.close()
        if self._process:
            self._process.kill()
            self._process.wait()

    def _accept(self) -> None:
        assert self._listener  # noqa: S101 - it is what can be read
        with contextlib.suppress(BlockingIOError):
            Agent(self._listener.accept()[0], self._changed)

    def _changed(self, agent: Agent) -> None:
        if agent.connected:
            before = self._agents.get(agent.target)
            self._agents[agent.target] = agent
            if before:
                before.close()
        elif self._agents.get(agent.target) is agent:
            del self._agents[agent.target]
            self._on_lost(agent.target)
