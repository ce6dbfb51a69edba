"""Tunnels of EC2 Instance Connect Endpoints: a client's websocket, and a TCP connection in the VPC.

The AWS endpoint checks a client's request, then hands the client's socket over on a unix socket
(SOCK_SEQPACKET), with one JSON object: the request's `head`, `address`, `port` and `limit_s`. We
dial from the bastion's network. The real endpoint has an interface of its own in the VPC.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, cast

from sm_proxy_lab.gateway import targets
from sm_proxy_lab.gateway.websocket import Connection

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sm_proxy_lab.gateway.faults import Faults

log = logging.getLogger("sm_proxy_lab.gateway")

_LONGEST_FRAME: Final = 65_000  # which the AWS CLI sends
_NORMAL, _GOING_AWAY, _TOO_BIG, _FAILED = 1000, 1001, 1009, 1011
_MAX_REQUEST: Final = 1 << 16


class Tunnel(asyncio.Protocol):
    """One tunnel: the protocol of the connection in the VPC, and the owner of the websocket."""

    def __init__(self, request: dict[str, Any], limit_s: float) -> None:
        self._address, self._port = str(request["address"]), str(request["port"])
        self._limit_s = limit_s
        self._client: Connection | None = None
        self._transport: asyncio.Transport | None = None
        self._pending = bytearray()  # what comes before the connection is made
        self._over = False
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    async def run(self, client: Connection, head: bytes) -> None:
        """Answer the upgrade, and connect.

        Args:
            client: the client's connection.
            head: the request, with the empty line at its end.
        """
        self._client = client
        client.data_received(head)
        self._timer = self._loop.call_later(self._limit_s, self._expire)
        try:
            where = targets.Destination([self._address], self._port)
            await targets.dial(where, lambda: self, 0)
        except OSError as error:
            log.info("tunnel: %s", error)
            client.close(_FAILED, f"Unable to connect to the target: {error}"[:120])

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send what has come already."""
        self._transport = cast("asyncio.Transport", transport)
        if self._over:
            self._transport.abort()
            return
        self._transport.write(bytes(self._pending))
        self._pending.clear()

    def data_received(self, data: bytes) -> None:
        """Pass the target's bytes on; read no more while the client does not."""
        if self._client:
            self._client.send(data)
            if self._client.congested and self._transport:
                self._transport.pause_reading()

    def connection_lost(self, error: Exception | None) -> None:
        """Say goodbye: after the end of the target's stream, with the normal code."""
        if self._client:
            self._client.close(_FAILED if error else _NORMAL, str(error or "")[:120])

    def pause_writing(self) -> None:
        """Read no more from the client."""
        if self._client:
            self._client.pause()

    def resume_writing(self) -> None:
        """Read from the client again."""
        if self._client:
            self._client.resume()

    # What the websocket calls.

    def upgrade_status(self, path: str) -> int:
        """Accept: the AWS endpoint has checked the request."""
        del path
        return HTTPStatus.SWITCHING_PROTOCOLS

    def on_message(self, connection: Connection, data: bytes, *, text: bool) -> None:
        """Pass the client's bytes on."""
        if text or len(data) > _LONGEST_FRAME:
            connection.close(_TOO_BIG, "Message too big" if not text else "Not a binary message")
        elif self._transport:
            self._transport.write(data)
        else:
            self._pending += data

    def on_lost(self, connection: Connection) -> None:
        """End the connection in the VPC, after what was written to it."""
        del connection
        self._over = True
        if self._timer:
            self._timer.cancel()
        if self._transport:
            self._transport.close()

    def on_writable(self, connection: Connection) -> None:
        """Read from the target again."""
        del connection
        if self._transport and not self._transport.is_closing():
            self._transport.resume_reading()

    def _expire(self) -> None:
        if self._client:
            self._client.close(_GOING_AWAY, "The maximum tunnel duration is over")


class Tunnels:
    """Takes over the sockets of clients."""

    def __init__(self, faults: Callable[[], Faults], latency: float) -> None:
        self._faults = faults
        self._latency = latency
        self._listener: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: set[Connection] = set()

    def listen(self, path: Path) -> None:
        """Accept sockets on a unix socket."""
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(path))
        self._listener.listen(128)
        self._listener.setblocking(False)
        asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def close(self) -> None:
        """Cut all tunnels."""
        if self._listener:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
        for task in self._tasks:
            task.cancel()
        for connection in list(self._open):
            connection.abort()

    def cut(self) -> int:
        """Cut all tunnels without a close frame; return how many there were."""
        cut = list(self._open)
        for connection in cut:
            connection.abort()
        return len(cut)

    def _accept(self) -> None:
        assert self._listener  # noqa: S101 - it is what can be read
        with contextlib.suppress(BlockingIOError):
            given, _ = self._listener.accept()
            task = asyncio.create_task(self._serve(given))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, given: socket.socket) -> None:
        # The sender has sent before it lets us read: nothing to wait for.
        with given:
            data, handles, *_ = socket.recv_fds(given, _MAX_REQUEST, 1)
        if not handles:
            return
        request = json.loads(data)
        tunnel = Tunnel(request, min(request["limit_s"], self._faults().tunnel_limit_s))
        connection = _Watched(tunnel, self._latency, self._open)
        client = socket.socket(fileno=handles[0])
        client.setblocking(False)
        await asyncio.get_running_loop().connect_accepted_socket(lambda: connection, client)
        await tunnel.run(connection, request["head"].encode("latin-1"))


class _Watched(Connection):
    """A connection that is in a set as long as it is open."""

    def __init__(self, owner: Tunnel, latency: float, among: set[Connection]) -> None:
        super().__init__(owner, latency)
        self._among = among
        among.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        """Leave the set."""
        self._among.discard(self)
        super().connection_lost(error)
