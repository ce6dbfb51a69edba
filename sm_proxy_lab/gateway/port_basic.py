"""A raw port session: one TCP connection, its bytes in type-1 messages."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, cast

from sm_proxy_lab.gateway import targets, wire
from sm_proxy_lab.gateway.channel import Outcome
from sm_proxy_lab.gateway.pump import PAYLOAD, Pump

if TYPE_CHECKING:
    from sm_proxy_lab.gateway.channel import AgentChannel
    from sm_proxy_lab.gateway.port import PortWorker

log = logging.getLogger("sm_proxy_lab.gateway")

FAST_READ = 64 * PAYLOAD


class BasicPort:
    """One connection to the target.

    With `reconnecting` (LocalPortForwarding), it dials again after the target closed it.
    """

    def __init__(
        self, worker: PortWorker, where: targets.Destination, *, reconnecting: bool
    ) -> None:
        self._worker = worker
        self._channel: AgentChannel = worker.channel
        self._where = where
        self._reconnecting = reconnecting
        self._connection: _Target | None = None
        self._redial = False
        self._dialling: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """Whether the port accepts input."""
        return self._connection is not None

    async def start(self) -> None:
        """Dial the target.

        Raises:
            OSError: Nothing answered.
        """
        delay = self._worker.faults().dial_ms / 1000
        _, self._connection = await targets.dial(self._where, lambda: _Target(self), delay)

    def handle(self, message: wire.Message) -> Outcome:
        """Write a payload to the target, or do what a flag says."""
        if message.payload_type == wire.FLAG:
            return self._flag(message.payload)
        if message.payload_type != wire.DATA:
            return Outcome.DONE
        if self._redial:
            self._dialling = asyncio.create_task(self._dial_again(message.payload))
            return Outcome.BLOCKED
        return self._write(message.payload)

    def wake(self) -> None:
        """Resume reading: the channel is active."""
        if self._connection:
            self._connection.pump.wake()

    def stop(self) -> None:
        """Close the connection."""
        if self._dialling:
            self._dialling.cancel()
        if self._connection:
            self._connection.close()

    def lost(self, connection: _Target, error: Exception | None) -> None:
        """React to the end of the target's stream."""
        if connection is not self._connection or self._redial:
            return
        if self._reconnecting:
            # The agent does not report the end of file. It dials again when data comes.
            connection.close()
            self._redial = True
        else:
            # Every connection over ssh to a space or a node ends so: `lab run` shows no line.
            log.debug("agent: target closed the connection: %s", error or "EOF")
            self._worker.finish()

    def written(self, outcome: Outcome = Outcome.DONE) -> None:
        """Tell the channel that the target's socket took everything, or that the write failed."""
        self._channel.unblocked(outcome)

    @property
    def worker(self) -> PortWorker:
        """The worker that runs this session."""
        return self._worker

    def _write(self, payload: bytes) -> Outcome:
        connection = self._connection
        if connection is None or connection.transport is None or connection.transport.is_closing():
            return Outcome.REJECTED
        connection.transport.write(payload)
        return Outcome.BLOCKED if connection.full else Outcome.DONE

    def _flag(self, payload: bytes) -> Outcome:
        flag = int.from_bytes(payload[:4], "big")
        if flag == wire.DISCONNECT_TO_PORT and self._connection:
            self._connection.close()
            self.lost(self._connection, ConnectionAbortedError("closed by the client"))
        elif flag == wire.TERMINATE_SESSION:
            self._worker.terminate()
        return Outcome.DONE

    async def _dial_again(self, payload: bytes) -> None:
        self._dialling = None
        try:
            await self.start()
        except OSError as error:
            log.warning("agent: Unable to connect to specified port: %s", error)
            self._worker.finish()
            self._channel.unblocked(Outcome.REJECTED)
            return
        self._redial = False
        if self._write(payload) is Outcome.DONE:
            self._channel.unblocked()


class _Target(asyncio.BufferedProtocol):
    """The TCP connection: no more than one read of 1,024 bytes is ever waiting."""

    def __init__(self, port: BasicPort) -> None:
        self.transport: asyncio.Transport | None = None
        self.full = False
        faults = port.worker.faults
        self.pump = Pump(port.worker.channel, faults, self._room)
        self._buffer = memoryview(bytearray(PAYLOAD if faults().pause_ms else FAST_READ))
        self._port = port

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        # A write counts as done only when the socket has taken all of it.
        self.transport.set_write_buffer_limits(high=0)

    def get_buffer(self, _sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.pump.feed(self._buffer[:nbytes])
        if len(self.pump) and self.transport:
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        self.pump.finish(lambda: self._port.lost(self, None))
        return True

    def connection_lost(self, error: Exception | None) -> None:
        if self.full:
            self.full = False
            self._port.written(Outcome.REJECTED)
        self._port.lost(self, error)
        self.pump.close()

    def pause_writing(self) -> None:
        self.full = True

    def resume_writing(self) -> None:
        self.full = False
        self._port.written()

    def close(self) -> None:
        self.pump.close()
        if self.transport:
            # An unfinished write is dropped.
            if self.full:
                self.transport.abort()
            else:
                self.transport.close()

    def _room(self) -> None:
        if self.transport and not len(self.pump) and not self.transport.is_closing():
            self.transport.resume_reading()
