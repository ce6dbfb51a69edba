"""The socket of paramiko's SFTPClient: it waits, but never without an end."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from sm_proxy.transfer.ssh.wire import Wire


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_bytes_come_in_the_sizes_that_are_asked_for(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    wire = Wire(ours)
    theirs.sendall(b"abcdef")
    assert [wire.recv(4), wire.recv(4)] == [b"abcd", b"ef"]
    theirs.close()
    assert not wire.recv(4)
    assert wire.ended
    assert wire.lost


def test_a_side_that_answers_nothing_is_lost(pair: tuple[socket.socket, socket.socket]) -> None:
    wire = Wire(pair[0], silence_s=0.05)
    with pytest.raises(TimeoutError, match="no answer"):
        wire.recv(1)
    assert wire.lost
    assert not wire.ended


def test_a_side_that_takes_nothing_is_lost(pair: tuple[socket.socket, socket.socket]) -> None:
    wire = Wire(pair[0], silence_s=0.05)
    wire.send(bytes(1 << 24))  # as much as the socket takes
    with pytest.raises(TimeoutError):
        wire.send(bytes(1 << 24))


def test_an_answer_may_take_longer_while_an_upload_goes_on(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """The bytes of an upload stand in buffers before the request that waits for its answer."""
    carried = iter(range(0, 60_000, 4096))
    wire = Wire(pair[0], lambda: next(carried, 60_000), silence_s=0.05)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        wire.recv(1)
    assert time.monotonic() - began > 0.2
    assert next(carried, None) is None


def test_closing_wakes_a_reader(pair: tuple[socket.socket, socket.socket]) -> None:
    wire = Wire(pair[0])
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(wire.recv(1)))
    reader.start()
    wire.close()
    reader.join(30)
    assert found == [b""]
    with pytest.raises(OSError, match="closed"):
        wire.send(b"x")


def test_received_bytes_can_be_read_after_a_refused_send(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    wire = Wire(pair[0])
    pair[1].sendall(b"answer")
    pair[1].close()
    with pytest.raises(BrokenPipeError):
        wire.send(b"x")
    assert wire.lost
    assert wire.recv(100) == b"answer"
    assert wire.recv(100) == b""
