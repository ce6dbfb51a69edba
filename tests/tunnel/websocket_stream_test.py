"""A websocket as a stream, against a real websocket server."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from websockets.sync.server import ServerConnection

from sm_proxy.errors import SmProxyError
from sm_proxy.local import poll
from sm_proxy.ssm import transport
from sm_proxy.tunnel.stream import finish, wanted
from sm_proxy.tunnel.websocket_stream import FRAME_BYTES, WebSocketStream
from tests.ssm.service import service


def _explain(reason: str, answered: bool) -> SmProxyError:
    return SmProxyError("session-lost" if answered else "connect-refused", reason)


@contextmanager
def _stream(script: Callable[[ServerConnection], None]) -> Iterator[WebSocketStream]:
    with service(script) as port:
        websocket = transport.connect(f"ws://127.0.0.1:{port}/openTunnel?secret=1")
        stream = WebSocketStream(websocket, "instance-connect eice-1", _explain)
        try:
            yield stream
        finally:
            stream.close()


def _drive(
    stream: WebSocketStream,
    until: Callable[[], bool],
    take: Callable[[bytes], None] = lambda _: None,
) -> bytes:
    """Advance the stream as the pump does; return what it read."""
    data, end = b"", time.monotonic() + 60
    while not until():
        now = time.monotonic()
        assert now < end
        readers, writers = wanted(stream)
        due = min(stream.deadline(now), end) - now
        ready = poll.wait(readers, writers, [], max(0.0, due))
        stream.advance(time.monotonic(), readable=bool(ready.readable))
        taken = stream.read()
        take(taken)
        data += taken
    return data


def _echo(connection: ServerConnection) -> None:
    for message in connection:
        connection.send(message)


def test_bytes_flow_both_ways_in_frames_of_bounded_size() -> None:
    sizes: list[int] = []

    def echo(connection: ServerConnection) -> None:
        for message in connection:
            assert isinstance(message, bytes)
            sizes.append(len(message))
            connection.send(message)

    data = bytes(range(256)) * 800
    with _stream(echo) as stream:
        assert stream.opened
        assert stream.room >= len(data)
        stream.write(data)
        got = bytearray()
        _drive(stream, lambda: len(got) == len(data), take=got.extend)
        assert bytes(got) == data
    assert max(sizes) == FRAME_BYTES


def test_a_far_end_that_does_not_read_leaves_no_room() -> None:
    release = threading.Event()

    def stay(connection: ServerConnection) -> None:
        connection.recv()
        release.wait(60)

    with _stream(stay) as stream:
        written = 0
        deadline = time.monotonic() + 30
        while stream.room and time.monotonic() < deadline:
            written += (size := min(stream.room, 1 << 16))
            stream.write(bytes(size))
            stream.advance(time.monotonic(), readable=False)
        assert stream.room == 0
        assert stream.wants_write
        assert not stream.delivered
        assert written < 64 << 20
        release.set()


def test_the_normal_close_code_is_a_clean_end_after_the_last_byte() -> None:
    def bye(connection: ServerConnection) -> None:
        connection.send(b"last words")
        connection.close(1000)

    with _stream(bye) as stream:
        assert _drive(stream, lambda: stream.ended) == b"last words"
        assert stream.failure is None
        assert stream.finished
        assert stream.fileno() == -1
        assert stream.deadline(5.0) == 5.0


@pytest.mark.parametrize(
    ("first", "code"), [(b"", "connect-refused"), (b"SSH-2.0-x\r\n", "session-lost")]
)
def test_another_close_code_is_a_failure_with_its_reason(first: bytes, code: str) -> None:
    def fail(connection: ServerConnection) -> None:
        if first:
            connection.send(first)
        connection.close(1011, "no such target")

    with _stream(fail) as stream:
        assert _drive(stream, lambda: stream.ended) == first
        assert isinstance(stream.failure, SmProxyError)
        assert (stream.failure.code, stream.failure.message) == (code, "no such target")


def test_a_connection_that_breaks_is_a_failure() -> None:
    with _stream(lambda connection: connection.socket.close()) as stream:
        _drive(stream, lambda: stream.ended)
        assert isinstance(stream.failure, SmProxyError)
        assert "secret" not in stream.failure.message


def test_finish_delivers_what_was_written_and_says_goodbye() -> None:
    got: list[bytes] = []
    over = threading.Event()

    def take(connection: ServerConnection) -> None:
        for message in connection:
            assert isinstance(message, bytes)
            got.append(message)
        over.set()

    with _stream(take) as stream:
        stream.write(b"x" * 200_000)
        finish(stream)
        assert stream.finished
        assert stream.failure is None
        assert stream.room == 0
        stream.close()  # a server waits for the end of the connection
        assert over.wait(60)
    assert b"".join(got) == b"x" * 200_000


def test_bytes_after_the_goodbye_do_not_keep_the_stream_open() -> None:
    def talk(connection: ServerConnection) -> None:
        for _ in range(50):
            connection.send(b"y" * 1000)
        connection.recv()

    with _stream(talk) as stream:
        finish(stream)
        assert stream.failure is None


def test_a_stream_pings_but_does_not_wait_for_answers() -> None:
    with _stream(_echo) as stream:
        stream.advance(100.0, readable=False)
        assert stream.deadline(100.0) == 120.0
        stream.advance(1e6, readable=False)
        assert not stream.ended
        assert math.isfinite(stream.deadline(1e6))
