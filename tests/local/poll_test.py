from __future__ import annotations

import contextlib
import math
import os
import socket
import time
from collections.abc import Iterator

import pytest

from sm_proxy.local.poll import NOTHING, wait

Pipe = tuple[int, int]


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    reader, writer = os.pipe()
    yield reader, writer
    for descriptor in (reader, writer):
        with contextlib.suppress(OSError):
            os.close(descriptor)


def test_wait_returns_nothing_after_the_timeout(pipe: Pipe) -> None:
    began = time.monotonic()
    assert wait([pipe[0]], [], [pipe[1]], 0.05) == NOTHING
    assert 0.045 <= time.monotonic() - began < 10


def test_a_wait_for_nothing_takes_its_time() -> None:
    began = time.monotonic()
    assert wait([], [], [], 0.05) == NOTHING
    assert 0.045 <= time.monotonic() - began < 10


@pytest.mark.parametrize("timeout", [0, -5, -math.inf, 0.0001])
def test_a_negative_timeout_does_not_wait(pipe: Pipe, timeout: float) -> None:
    assert wait([pipe[0]], [], [], timeout) == NOTHING


def test_a_readable_descriptor_is_reported(pipe: Pipe) -> None:
    os.write(pipe[1], b"x")
    ready = wait([pipe[0]], [], [], math.inf)
    assert ready == (frozenset({pipe[0]}), frozenset())


def test_a_writable_descriptor_ends_the_wait(pipe: Pipe) -> None:
    assert wait([], [pipe[1]], [], math.inf) == NOTHING


def test_the_end_of_a_stream_is_readable(pipe: Pipe) -> None:
    os.close(pipe[1])
    assert wait([pipe[0]], [], [], math.inf).readable == {pipe[0]}


def test_a_closed_writer_is_noticed_despite_unread_bytes(pipe: Pipe) -> None:
    os.write(pipe[1], b"unread")
    assert wait([], [], [pipe[0]], 0) == NOTHING
    os.close(pipe[1])
    assert wait([], [], [pipe[0]], math.inf).hung_up == {pipe[0]}
    assert os.read(pipe[0], 10) == b"unread"


def test_a_closed_reader_is_noticed_despite_a_full_pipe(pipe: Pipe) -> None:
    os.set_blocking(pipe[1], False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(pipe[1], b"x" * 65536)
    assert wait([], [], [pipe[1]], 0) == NOTHING
    os.close(pipe[0])
    assert wait([], [], [pipe[1]], math.inf).hung_up == {pipe[1]}


def test_one_descriptor_can_be_read_and_watched(pipe: Pipe) -> None:
    os.write(pipe[1], b"x")
    os.close(pipe[1])
    ready = wait([pipe[0]], [], [pipe[0]], math.inf)
    assert ready == (frozenset({pipe[0]}), frozenset({pipe[0]}))


def test_a_half_closed_socket_is_not_a_hang_up() -> None:
    near, far = socket.socketpair()
    with near, far:
        far.shutdown(socket.SHUT_WR)
        assert wait([], [], [near.fileno()], 0) == NOTHING
        far.close()
        assert wait([], [], [near.fileno()], math.inf).hung_up == {near.fileno()}
