"""A stream as a blocking socket: bytes both ways, its failure, and its end."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.local import poll
from sm_proxy.tunnel.blocking_socket import BlockingSocket
from tests.tunnel.fakes import SocketStream


@pytest.fixture
def stream() -> Iterator[SocketStream]:
    made = SocketStream()
    yield made
    made.far.close()


@contextlib.contextmanager
def carried(stream: SocketStream) -> Iterator[BlockingSocket]:
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


def test_bytes_pass_in_both_directions(stream: SocketStream) -> None:
    up, down = os.urandom(300_000), os.urandom(300_000)
    with carried(stream) as tunnel:
        for source, target, data in (
            (tunnel.socket, stream.far, up),
            (stream.far, tunnel.socket, down),
        ):
            sender = threading.Thread(target=source.sendall, args=(data,))
            sender.start()
            assert received(target, len(data)) == data
            sender.join(60)


def test_writing_works_without_reading(stream: SocketStream) -> None:
    """paramiko in a key exchange: its reader waits until its writer is done."""
    data = os.urandom(2_000_000)
    with carried(stream) as tunnel:
        sender = threading.Thread(target=stream.far.sendall, args=(data,))
        sender.start()
        poll.wait([tunnel.socket.fileno()], [], [], 60)
        tunnel.socket.sendall(data[:50_000])
        assert received(stream.far, 50_000) == data[:50_000]
        assert received(tunnel.socket, len(data)) == data
        sender.join(60)


def test_all_bytes_arrive_although_the_stream_has_ended(stream: SocketStream) -> None:
    data = os.urandom(1_500_000)
    stream.far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    with carried(stream) as tunnel:
        stream.far.sendall(data[:200_000])
        poll.wait([tunnel.socket.fileno()], [], [], 60)
        stream.ended = True
        assert received(tunnel.socket, 200_000) == data[:200_000]
        assert tunnel.socket.recv(1) == b""


def test_waiting_raises_the_streams_failure(stream: SocketStream) -> None:
    stream.opened = False
    stream.failure, stream.ended = SmProxyError("connect-refused", "no"), True
    with carried(stream) as tunnel, pytest.raises(SmProxyError) as caught:
        tunnel.wait_open()
    assert caught.value.code == "connect-refused"


def test_an_open_stream_is_not_waited_for(stream: SocketStream) -> None:
    with carried(stream) as tunnel:
        tunnel.wait_open()
        tunnel.raise_failure()


def test_the_end_of_the_stream_ends_the_socket(stream: SocketStream) -> None:
    with carried(stream) as tunnel:
        stream.far.sendall(b"last words")
        assert received(tunnel.socket, 10) == b"last words"
        stream.ended = True
        assert tunnel.socket.recv(1) == b""


@pytest.mark.parametrize("confirms", [True, False])
def test_the_far_end_gets_the_end_before_the_stream_is_closed(
    stream: SocketStream, *, confirms: bool
) -> None:
    stream.confirms = confirms
    with carried(stream):
        pass
    assert stream.events == ["finish", "close"]


def test_without_a_farewell_it_is_closed_at_once(stream: SocketStream) -> None:
    stream.confirms = False
    tunnel = BlockingSocket(stream)
    tunnel.close(farewell=False)
    assert stream.events == ["close"]


def test_the_stream_is_closed_after_its_socket(stream: SocketStream) -> None:
    """As paramiko does it: closing its transport closes the socket."""
    with carried(stream) as tunnel:
        tunnel.socket.close()
    assert stream.events == ["finish", "close"]


def test_a_socket_closed_by_its_user_is_not_read_again(stream: SocketStream) -> None:
    with carried(stream) as tunnel:
        tunnel.socket.close()
        turns = 0

        def counted(now: float, *, readable: bool) -> None:
            nonlocal turns
            turns += 1

        stream.advance = counted  # type: ignore[method-assign]
        time.sleep(0.5)
        assert turns < 50  # it would be thousands


@pytest.mark.parametrize("lacks", ["descriptors", "threads"])
def test_without_descriptors_or_threads_the_stream_is_closed(
    stream: SocketStream, monkeypatch: pytest.MonkeyPatch, lacks: str
) -> None:
    def refuse(*_: object) -> None:
        if lacks == "descriptors":
            raise OSError(24, "no more descriptors")
        raise RuntimeError("no more threads")

    if lacks == "descriptors":
        monkeypatch.setattr(socket, "socketpair", refuse)
    else:
        monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(OSError, match=f"no more {lacks}"):
        BlockingSocket(stream)
    assert stream.fileno() < 0
