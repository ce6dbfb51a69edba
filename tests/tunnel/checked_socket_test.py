"""The socket itself goes to ssh only if a second connection shows the expected host key."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import cast

import pytest

from sm_proxy.tunnel.checked_socket import checked_socket
from sm_proxy.tunnel.socket_stream import SocketStream
from sm_proxy.tunnel.stream import Stream, StreamWrapper
from tests.tunnel.fakes import FakeStream
from tests.tunnel.host_key_probe_test import USUAL
from tests.tunnel.packets import BLOB, REPLY

GREETING = b"SSH-2.0-server\r\n"
KEYS = GREETING + USUAL + REPLY
BUSY = b"Exceeded MaxStartups\r\n"


@contextlib.contextmanager
def served(first: bytes, second: bytes) -> Iterator[tuple[SocketStream, tuple[str, int]]]:
    """A server that sends these bytes on its two connections, and a stream over the first."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address, port = server.getsockname()
        near = socket.create_connection((address, port), 60)
        far, _ = server.accept()
        far.sendall(first)
        if first:
            near.recv(1, socket.MSG_PEEK)  # it has come

        def answer() -> None:
            with contextlib.suppress(OSError):  # the server is closed, nobody came
                other, _ = server.accept()
                with other:
                    other.sendall(second)
                    other.shutdown(socket.SHUT_WR)
                    while other.recv(1 << 16):
                        pass

        thread = threading.Thread(target=answer)
        thread.start()
        stream = SocketStream(near, "there")
        try:
            yield stream, (address, port)
        finally:
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            thread.join(60)
            stream.close()
            far.close()


def accepts(blob: bytes) -> bool:
    return blob == BLOB


def test_the_socket_is_given_with_the_greeting_unread() -> None:
    with served(GREETING, KEYS) as (stream, place):
        wrapped = StreamWrapper(StreamWrapper(stream))
        found = checked_socket(wrapped, *place, ["ssh-ed25519"], accepts)
        assert found is stream.socket
        assert found.recv(100) == GREETING


@pytest.mark.parametrize(
    ("first", "second", "key"),
    [
        pytest.param(GREETING, KEYS, b"another", id="another key"),
        pytest.param(GREETING, BUSY, BLOB, id="no key"),
        pytest.param(BUSY, KEYS, BLOB, id="refused"),
        pytest.param(b"", KEYS, BLOB, id="silent"),
    ],
)
def test_else_the_bytes_stay_with_us_unread(first: bytes, second: bytes, key: bytes) -> None:
    with served(first, second) as (stream, place):
        found = checked_socket(stream, *place, [], lambda blob: blob == key)
        assert found is None
        stream.advance(0, readable=bool(first))
        assert stream.read() == first


def test_a_stream_that_was_used_stays_with_us() -> None:
    with served(GREETING, KEYS) as (stream, place):
        stream.write(b"x")
        assert checked_socket(stream, *place, [], accepts) is None


def test_a_stream_through_a_session_has_no_such_socket() -> None:
    assert checked_socket(cast("Stream", FakeStream()), "127.0.0.1", 1, [], accepts) is None
