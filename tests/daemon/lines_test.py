from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator

import pytest

from sm_proxy.daemon.lines import LIMIT, Lines

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no daemon")


@pytest.fixture
def ends() -> Iterator[tuple[Lines, Lines]]:
    one, other = map(Lines, socket.socketpair())
    yield one, other
    one.close()
    other.close()


def test_messages_arrive_whole_and_in_order(ends: tuple[Lines, Lines]) -> None:
    one, other = ends
    one.send({"a": "\udcff\n"})
    one.send({"b": [1]})
    one.socket.sendall(b'{"c"')
    assert other.next(time.monotonic() + 30) == {"a": "\udcff\n"}
    assert other.received() == [{"b": [1]}]
    assert other.next(time.monotonic()) is None
    one.socket.sendall(b":2}\n")
    assert other.next(time.monotonic() + 30) == {"c": 2}
    one.send({"d": 3})
    one.close()
    assert other.next(time.monotonic() + 30) == {"d": 3}
    assert (other.next(time.monotonic() + 30), other.ended) == (None, True)


@pytest.mark.parametrize("data", [b"hello\n", b"[1]\n", b"\xff\n", b'{"a": 1}\nx\n'])
def test_an_invalid_message_ends_the_conversation(data: bytes, ends: tuple[Lines, Lines]) -> None:
    one, other = ends
    one.socket.sendall(data)
    assert (other.next(time.monotonic() + 30), other.ended) == (None, True)


def test_a_message_without_end_is_not_kept(ends: tuple[Lines, Lines]) -> None:
    one, other = ends
    sent = 0
    while sent <= LIMIT:
        sent += one.socket.send(b"x" * (1 << 16))
        assert other.received() == []
    assert other.ended


def test_a_wait_for_a_slow_reader_is_bounded(ends: tuple[Lines, Lines]) -> None:
    one, other = ends
    with pytest.raises(TimeoutError):
        one.send({"a": "x" * LIMIT})
    other.close()
    with pytest.raises(OSError, match="Broken"):
        one.send({"a": "x"}, within=30)
