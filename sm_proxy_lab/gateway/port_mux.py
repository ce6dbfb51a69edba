"""A multiplexed port session: smux v1 inside the byte stream, a TCP connection per stream."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from sm_proxy_lab.gateway import smux, targets, wire
from sm_proxy_lab.gateway.channel import Outcome
from sm_proxy_lab.gateway.mux_stream import MuxStream
from sm_proxy_lab.gateway.pump import Pump

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sm_proxy_lab.gateway.port import PortWorker

log = logging.getLogger("sm_proxy_lab.gateway")

# Bytes that the unix socket between the agent and its smux server buffers in each direction.
SOCKET_BUFFER = 208 << 10
# smux v1 stops reading when this many bytes are unread in all streams together.
RECEIVE_BUFFER = 4 << 20


class MuxPort:
    """The smux server side of a session."""

    def __init__(self, worker: PortWorker, where: targets.Destination, *, keep_alive: bool) -> None:
        self.pump = Pump(worker.channel, worker.faults, self._room)
        self._worker = worker
        self._where = where
        self._keep_alive = keep_alive
        self._parser = smux.Parser()
        self._streams: dict[int, MuxStream] = {}
        self._dials: asyncio.Queue[MuxStream] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []
        self._blocked = False
        self._deaf = False
        self._stopped = False
        self._heard = False

    @property
    def ready(self) -> bool:
        """Whether the port accepts input."""
        return bool(self._tasks)

    async def start(self) -> None:
        """Start the accept loop, and the keep-alive for an old client."""
        self._tasks.append(asyncio.create_task(self._accept()))
        if self._keep_alive:
            self._tasks.append(asyncio.create_task(self._ping()))
            self._tasks.append(asyncio.create_task(self._watch()))

    def handle(self, message: wire.Message) -> Outcome:
        """Write a payload to the smux server, or do what a flag says."""
        if message.payload_type == wire.FLAG:
            # DisconnectToPort has no effect here.
            if int.from_bytes(message.payload[:4], "big") == wire.TERMINATE_SESSION:
                self._worker.terminate()
            return Outcome.DONE
        if message.payload_type != wire.DATA:
            return Outcome.DONE
        if self._stopped:
            return Outcome.REJECTED
        self._parser.feed(message.payload)
        self._read()
        self._blocked = len(self._parser) > SOCKET_BUFFER and self._is_stalled()
        return Outcome.BLOCKED if self._blocked else Outcome.DONE

    def wake(self) -> None:
        """Resume reading: the channel is active."""
        self.pump.wake()

    def stop(self) -> None:
        """Close all connections."""
        self._stopped = True
        for task in self._tasks:
            task.cancel()
        for stream in list(self._streams.values()):
            stream.close()
        self._streams.clear()
        self.pump.close()

    # What streams call.

    def send(self, command: int, stream: int, data: bytes | memoryview = b"") -> bool:
        """Send a frame; return whether the stream may go on reading."""
        if not self._stopped:
            self.pump.feed(smux.encode(command, stream, data))
        return len(self.pump) < SOCKET_BUFFER

    def drained(self) -> None:
        """Called when a stream has delivered all that it had."""
        self._read()
        if self._blocked and not (self._is_stalled() and len(self._parser) > SOCKET_BUFFER):
            self._blocked = False
            self._worker.channel.unblocked()

    def closed(self, stream: MuxStream) -> None:
        """Tell the client that a stream is closed, and forget it."""
        if self._streams.pop(stream.number, None) is not None:
            self.send(smux.FIN, stream.number)
            self.drained()

    # Internals.

    def _is_stalled(self) -> bool:
        waiting = sum(stream.waiting for stream in self._streams.values())
        return self._deaf or waiting >= RECEIVE_BUFFER

    def _room(self) -> None:
        if len(self.pump) < SOCKET_BUFFER:
            for stream in self._streams.values():
                stream.resume()

    def _read(self) -> None:
        if self._deaf or self._stopped or self._is_stalled():
            return
        frames = self._parser.frames()
        try:
            for frame in frames:
                self._heard = True
                self._frame(frame)
                if frame.command == smux.PSH and self._is_stalled():
                    break
        except smux.SmuxError as error:
            # The agent's smux stops reading without an error; the session hangs.
            log.warning("agent: smux: invalid protocol: %s", error)
            self._deaf = True
        finally:
            _close(frames)

    def _frame(self, frame: smux.Frame) -> None:
        stream = self._streams.get(frame.stream)
        if frame.command == smux.SYN and stream is None:
            stream = MuxStream(self, frame.stream)
            self._streams[frame.stream] = stream
            self._dials.put_nowait(stream)
        elif frame.command == smux.PSH and stream:
            stream.push(frame.data)
        elif frame.command == smux.FIN and stream:
            stream.finish()

    async def _accept(self) -> None:
        while True:
            stream = await self._dials.get()
            delay = self._worker.faults().dial_ms / 1000
            try:
                await targets.dial(self._where, stream.connection, delay)
            except OSError as error:
                log.warning("agent: Unable to dial connection to server: %s", error)
                flag = wire.CONNECT_TO_PORT_ERROR.to_bytes(4, "big")
                self._worker.channel.send(wire.FLAG, flag)
                stream.close()
                self.closed(stream)

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(self._worker.faults().smux_ping_s)
            self.send(smux.NOP, 0)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._worker.faults().smux_timeout_s)
            if not self._heard and not self._is_stalled():
                log.info("agent: smux keep-alive timed out")
                self._worker.finish()
                return
            self._heard = False


def _close(frames: Iterator[smux.Frame]) -> None:
    frames.close()  # type: ignore[attr-defined]
