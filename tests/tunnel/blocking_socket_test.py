"""A stream as a blocking socket: bytes both ways, its failure, and its end."""

from __future__ import annotations

import contextlib
import math
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.tunnel.blocking_socket import BlockingSocket


class FarStream:
    """A stream whose other end is the socket `far`; it opens when it is told to."""

    def __init__(self) -> None:
        self._near, self.far = socket.socketpair()
        self._near.setblocking(False)
        self.far.settimeout(60)
        self.opened = True
        self.ended = False
        self.failure: Exception | None = None
        self.finished = False
        self.confirms = True
        self.room = 1 << 16
        self.wants_read, self.wants_write, self.delivered = True, False, True
        self.events: list[str] = []

    def record_fields(self) -> dict[str, Any]:
        return {"session": "s-1"}

    def fileno(self) -> int:
        return self._near.fileno()

    def deadline(self, now: float) -> float:
        del now
        return math.inf

    def advance(self, now: float, *, readable: bool) -> None:
        """Nothing to do: `read` and `write` use the socket."""

    def read(self) -> bytes:
        with contextlib.suppress(BlockingIOError):
            return self._near.recv(1 << 16)
        return b""

    def write(self, data: bytes) -> None:
        self._near.sendall(data)

    def finish(self) -> None:
        self.events.append("finish")
        self.finished = self.confirms

    def close(self) -> None:
        self.events.append("close")
        self._near.close()


@pytest.fixture
def stream() -> Iterator[FarStream]:
    made = FarStream()
    yield made
    made.far.close()


@contextlib.contextmanager
def carried(stream: FarStream) -> Iterator[BlockingSocket]:
    tunnel = BlockingSocket(stream)
    tunnel.socket.settimeout(60)
    try:
        yield tunnel
    finally:
        tunnel.close()


def received(source: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := source.recv(1 << 16)):
        data += more
    return data


def test_bytes_go_both_ways(stream: FarStream) -> None:
    up, down = os.urandom(300_000), os.urandom(300_000)
    with carried(stream) as tunnel:
        assert tunnel.session == "s-1"
        for source, target, data in (
            (tunnel.socket, stream.far, up),
            (stream.far, tunnel.socket, down),
        ):
            sender = threading.Thread(target=source.sendall, args=(data,))
            sender.start()
            assert received(target, len(data)) == data
            sender.join(60)


def test_what_it_waits_for_may_fail(stream: FarStream) -> None:
    stream.opened = False
    stream.failure, stream.ended = SmProxyError("connect-refused", "no"), True
    with carried(stream) as tunnel, pytest.raises(SmProxyError) as caught:
        tunnel.wait_open()
    assert caught.value.code == "connect-refused"


def test_an_open_stream_is_not_waited_for(stream: FarStream) -> None:
    with carried(stream) as tunnel:
        tunnel.wait_open()
        tunnel.raise_failure()


def test_the_streams_end_is_the_sockets(stream: FarStream) -> None:
    with carried(stream) as tunnel:
        stream.far.sendall(b"last words")
        assert received(tunnel.socket, 10) == b"last words"
        stream.ended = True
        assert tunnel.socket.recv(1) == b""


@pytest.mark.parametrize("confirms", [True, False])
def test_the_far_end_is_told_before_the_stream_is_closed(
    stream: FarStream, *, confirms: bool
) -> None:
    stream.confirms = confirms
    with carried(stream):
        pass
    assert stream.events == ["finish", "close"]


def test_it_ends_although_its_user_has_closed_the_socket(stream: FarStream) -> None:
    """As paramiko does it: closing its transport closes the socket."""
    with carried(stream) as tunnel:
        tunnel.socket.close()
    assert stream.events == ["finish", "close"]
