"""A shell session: a pty, whose output passes the agent's filter of characters."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import struct
import termios
from typing import TYPE_CHECKING

from sm_proxy_lab.gateway import rune_filter, targets, wire
from sm_proxy_lab.gateway.channel import Outcome

if TYPE_CHECKING:
    from sm_proxy_lab.gateway.agents import Agent, Terminal
    from sm_proxy_lab.gateway.port import PortWorker

log = logging.getLogger("sm_proxy_lab.gateway")

_READ = 1024


class Shell:
    """The agent's side of a Standard_Stream session."""

    def __init__(self, worker: PortWorker, agent: Agent) -> None:
        self._worker = worker
        self._agent = agent
        self._terminal: Terminal | None = None
        self._unsent = b""  # input that the terminal has not taken yet
        self._held = b""
        self._reading = False
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    @property
    def ready(self) -> bool:
        """Whether the shell accepts input."""
        return self._terminal is not None

    async def start(self) -> None:
        """Start the shell. Its output is read only after a second, as by the agent.

        Raises:
            SessionError: The container's agent cannot start it.
        """
        try:
            self._terminal = await self._agent.open_shell()
        except OSError as error:
            raise targets.SessionError(f"Unable to start command: {error}\n") from error
        os.set_blocking(self._terminal.master, False)
        self._timer = self._loop.call_later(self._worker.faults().shell_wait_s, self._next)

    def handle(self, message: wire.Message) -> Outcome:
        """Write input to the terminal, or set its size; the agent ignores everything else."""
        if message.payload_type == wire.DATA:
            self._unsent = message.payload
            return self._write()
        if message.payload_type == wire.SIZE:
            self._resize(wire.json_object(message.payload))
        return Outcome.DONE

    def wake(self) -> None:
        """Resume reading: the channel is active."""
        if self._timer is None and not self._reading:
            self._next()

    def stop(self) -> None:
        """Kill the shell and close the terminal, which hangs up on its other processes."""
        if self._timer:
            self._timer.cancel()
        if self._terminal is None:
            return
        terminal, self._terminal = self._terminal, None
        self._loop.remove_reader(terminal.master)
        self._loop.remove_writer(terminal.master)
        self._agent.kill(terminal.pid)
        os.close(terminal.master)

    def _resize(self, size: dict[str, object]) -> None:
        if self._terminal is None:
            return
        try:
            window = struct.pack("HHHH", size.get("rows", 0), size.get("cols", 0), 0, 0)
        except struct.error as error:
            raise wire.MalformedError(f"no size: {size}") from error
        fcntl.ioctl(self._terminal.master, termios.TIOCSWINSZ, window)

    def _write(self) -> Outcome:
        """Write until the terminal's buffer is full."""
        if self._terminal is None:
            return Outcome.REJECTED
        master = self._terminal.master
        try:
            while self._unsent:
                self._unsent = self._unsent[os.write(master, self._unsent) :]
        except BlockingIOError:
            self._loop.add_writer(master, self._write_more)
            return Outcome.BLOCKED
        except OSError:
            return Outcome.REJECTED
        return Outcome.DONE

    def _write_more(self) -> None:
        if self._terminal is None:
            return
        self._loop.remove_writer(self._terminal.master)
        outcome = self._write()
        if outcome is not Outcome.BLOCKED:
            self._worker.channel.unblocked(outcome)

    def _next(self) -> None:
        self._timer = None
        if self._terminal and self._worker.channel.active:
            self._reading = True
            self._loop.add_reader(self._terminal.master, self._read)

    def _read(self) -> None:
        if self._terminal is None:
            return
        try:
            data = os.read(self._terminal.master, _READ)
        except BlockingIOError:
            return
        except OSError:  # EIO: all who had the terminal open are gone
            data = b""
        self._reading = False
        self._loop.remove_reader(self._terminal.master)
        if not data:
            log.info("agent: the shell has ended")
            self._worker.finish()
            return
        sent, self._held = rune_filter.split(self._held + data)
        if sent:
            self._worker.channel.send(wire.DATA, sent)
        self._timer = self._loop.call_later(self._worker.faults().pause_ms / 1000, self._next)
