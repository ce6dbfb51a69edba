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


def test_nothing_within_the_time(pipe: Pipe) -> None:
    began = time.monotonic()
    assert wait([pipe[0]], [], [pipe[1]], 0.05) == NOTHING
    assert 0.045 <= time.monotonic() - began < 10


@pytest.mark.parametrize("timeout", [0, -5, -math.inf, 0.0001])
def test_a_time_in_the_past_asks_only(pipe: Pipe, timeout: float) -> None:
    assert wait([pipe[0]], [], [], timeout) == NOTHING


def test_what_can_be_read(pipe: Pipe) -> None:
    os.write(pipe[1], b"x")
    ready = wait([pipe[0]], [], [], math.inf)
    assert ready == (frozenset({pipe[0]}), frozenset())


def test_what_can_be_written_ends_the_wait_and_is_not_readable(pipe: Pipe) -> None:
    assert wait([], [pipe[1]], [], math.inf) == NOTHING


def test_the_end_is_readable(pipe: Pipe) -> None:
    os.close(pipe[1])
    assert wait([pipe[0]], [], [], math.inf).readable == {pipe[0]}


def test_a_writer_that_left_is_noticed_behind_unread_bytes(pipe: Pipe) -> None:
    os.write(pipe[1], b"unread")
    assert wait([], [], [pipe[0]], 0) == NOTHING
    os.close(pipe[1])
    assert wait([], [], [pipe[0]], math.inf).hung_up == {pipe[0]}
    assert os.read(pipe[0], 10) == b"unread"


def test_a_reader_that_left_is_noticed_though_the_pipe_is_full(pipe: Pipe) -> None:
    os.set_blocking(pipe[1], False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(pipe[1], b"x" * 65536)
    assert wait([], [], [pipe[1]], 0) == NOTHING
    os.close(pipe[0])
    assert wait([], [], [pipe[1]], math.inf).hung_up == {pipe[1]}


def test_one_that_is_read_and_watched(pipe: Pipe) -> None:
    os.write(pipe[1], b"x")
    os.close(pipe[1])
    ready = wait([pipe[0]], [], [pipe[0]], math.inf)
    assert ready == (frozenset({pipe[0]}), frozenset({pipe[0]}))


def test_half_a_socket_closed_is_no_hang_up() -> None:
    near, far = socket.socketpair()
    with near, far:
        far.shutdown(socket.SHUT_WR)
        assert wait([], [], [near.fileno()], 0) == NOTHING
        far.close()
        assert wait([], [], [near.fileno()], math.inf).hung_up == {near.fileno()}
