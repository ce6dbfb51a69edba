"""A TCP socket as a stream: half-closes, resets, back-pressure, and the socket inside wrappers."""

from __future__ import annotations

import errno
import math
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from typing import cast

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.local import poll
from sm_proxy.tunnel.socket_stream import SocketStream, dial, socket_inside
from sm_proxy.tunnel.stream import Stream, StreamWrapper, finish, wanted
from tests.tunnel.fakes import FakeStream
from tests.waits import await_true

WHERE = "10.0.1.5 port 2222"
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER that makes `close` send a reset."""


@pytest.fixture
def pair() -> Iterator[tuple[SocketStream, socket.socket]]:
    """A stream and its far end."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
    far.settimeout(60)
    stream = SocketStream(near, WHERE)
    yield stream, far
    stream.close()
    far.close()


def turn(stream: SocketStream) -> None:
    """What the pump does once: wait, advance."""
    readers, writers = wanted(stream)
    ready = poll.wait(readers, writers, [], 60)
    stream.advance(0, readable=stream.fileno() in ready.readable)


def read_all(stream: SocketStream) -> bytes:
    """Read until the far end has ended."""
    data = stream.read()
    while not stream.ended:
        turn(stream)
        data += stream.read()
    return data


def test_bytes_flow_both_ways_and_the_end_comes_after_them(
    pair: tuple[SocketStream, socket.socket],
) -> None:
    stream, far = pair
    stream.write(b"hello")
    assert far.recv(5) == b"hello"
    far.sendall(b"SSH-2.0")
    far.shutdown(socket.SHUT_WR)
    assert read_all(stream) == b"SSH-2.0"
    assert (stream.ended, stream.failure, stream.suspicion) == (True, None, None)


def test_the_far_end_may_answer_after_our_end(pair: tuple[SocketStream, socket.socket]) -> None:
    stream, far = pair
    stream.write(b"question")
    stream.finish()
    assert (stream.finished, stream.room) == (False, 0)
    assert far.recv(99) == b"question"
    assert far.recv(99) == b""
    far.sendall(b"answer")
    far.close()
    assert read_all(stream) == b"answer"
    assert (stream.finished, stream.failure) == (True, None)


def test_a_slow_far_end_bounds_what_is_kept(pair: tuple[SocketStream, socket.socket]) -> None:
    stream, far = pair
    sent = 0
    while room := stream.room:
        stream.write(b"x" * room)
        sent += room
    assert (stream.delivered, stream.wants_write) == (False, True)
    got = 0

    def drain() -> None:
        nonlocal got
        while data := far.recv(1 << 20):
            got += len(data)

    reader = threading.Thread(target=drain)
    reader.start()
    while not stream.delivered:
        turn(stream)
    finish_in = threading.Thread(target=finish, args=(stream,))
    finish_in.start()
    reader.join(60)
    far.close()
    finish_in.join(60)
    assert got == sent


def test_unread_bytes_stop_the_reading(pair: tuple[SocketStream, socket.socket]) -> None:
    stream, far = pair
    far.sendall(b"first")
    turn(stream)
    far.sendall(b"second")
    assert wanted(cast("Stream", stream)) == ([], [])
    assert stream.deadline(5) == math.inf
    assert stream.read() == b"first"
    turn(stream)
    assert stream.read() == b"second"


def test_a_reset_after_the_first_byte_is_a_failure(
    pair: tuple[SocketStream, socket.socket],
) -> None:
    stream, far = pair
    far.sendall(b"SSH-2.0")
    turn(stream)
    assert stream.read() == b"SSH-2.0"
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    far.close()
    assert read_all(stream) == b""
    assert isinstance(stream.failure, SmProxyError)
    assert (stream.failure.code, stream.room) == ("session-lost", 0)
    assert WHERE in stream.failure.message


def test_a_reset_before_the_first_byte_is_left_to_the_greeting(
    pair: tuple[SocketStream, socket.socket],
) -> None:
    stream, far = pair
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    far.close()
    assert read_all(stream) == b""
    assert (stream.ended, stream.failure) == (True, None)


def test_the_last_words_of_a_server_that_takes_no_more_are_read(
    pair: tuple[SocketStream, socket.socket],
) -> None:
    """sshd refuses an address with one line, and closes while ssh's greeting is on its way."""
    stream, far = pair
    far.sendall(b"Not allowed at this time\r\n")
    far.close()
    stream.write(b"SSH-2.0-client\r\n")
    await_true(lambda: _write_refused(stream), 60)
    assert read_all(stream) == b"Not allowed at this time\r\n"
    assert isinstance(stream.failure, SmProxyError)


def _write_refused(stream: SocketStream) -> bool:
    if stream.room:
        stream.write(b"x")
    return not stream.room


def test_a_reset_while_it_ends_is_no_failure(pair: tuple[SocketStream, socket.socket]) -> None:
    stream, far = pair
    far.sendall(b"SSH-2.0")
    turn(stream)
    assert stream.read() == b"SSH-2.0"
    stream.finish()
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    far.close()
    finish(stream)
    assert (stream.finished, stream.failure, stream.fileno()) == (True, None, -1)


def explain(error: OSError) -> SmProxyError:
    return SmProxyError("connect-refused", errno.errorcode[error.errno or 0], "")


def dialled(address: str, port: int, within_s: float = 60) -> Iterator[SocketStream]:
    stream = dial(address, port, within_s, explain)
    yield stream
    stream.close()


def settle(stream: SocketStream) -> None:
    """Drive it until it is connected, or has failed."""
    while not stream.opened and not stream.ended:
        readers, writers = wanted(stream)
        now = time.monotonic()
        poll.wait(readers, writers, [], stream.deadline(now) - now)
        stream.advance(time.monotonic(), readable=False)


def test_dialling_does_not_wait_and_keeps_what_is_written() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        for stream in dialled(*server.getsockname()):
            stream.write(b"early")
            settle(stream)
            far, _ = server.accept()
            with far:
                stream.advance(0, readable=False)
                assert far.recv(99) == b"early"
                far.sendall(b"late")
                turn(stream)
                assert (stream.read(), stream.failure) == (b"late", None)


def test_a_closed_port_is_explained() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        where = server.getsockname()
    for stream in dialled(*where):
        settle(stream)
        assert (stream.ended, stream.opened, stream.fileno()) == (True, False, -1)
        assert isinstance(stream.failure, SmProxyError)
        assert stream.failure.message == "ECONNREFUSED"
        assert stream.unused_socket() is None


@pytest.mark.skipif(sys.platform != "linux", reason="a full queue drops connections on Linux")
def test_a_dial_that_nothing_answers_ends_in_time() -> None:
    """A queue of one that is full drops each further connection, as a firewall does."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        where = server.getsockname()
        with socket.create_connection(where):
            for stream in dialled(where[0], where[1], 0.2):
                settle(stream)
                assert isinstance(stream.failure, SmProxyError)
                assert stream.failure.message == "ETIMEDOUT"


def test_an_address_that_cannot_be_dialled_fails_at_once() -> None:
    for stream in dialled("255.255.255.255", 2222):
        assert (stream.ended, stream.opened) == (True, False)
        assert isinstance(stream.failure, SmProxyError)


def test_a_socket_is_handed_over_only_before_any_byte() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        for stream in dialled(*server.getsockname()):
            settle(stream)
            assert stream.unused_socket() is stream.socket
            stream.write(b"x")
            assert stream.unused_socket() is None
        for stream in dialled(*server.getsockname()):
            settle(stream)
            server.accept()[0].close()
            far, _ = server.accept()
            far.sendall(b"SSH")
            assert stream.unused_socket() is stream.socket
            turn(stream)
            assert stream.unused_socket() is None
            far.close()


def test_the_socket_is_found_through_wrappers(pair: tuple[SocketStream, socket.socket]) -> None:
    stream, _ = pair
    assert socket_inside(StreamWrapper(StreamWrapper(stream))) is stream
    assert socket_inside(stream) is stream
    assert socket_inside(StreamWrapper(FakeStream())) is None
