"""What a launcher and the daemon say to each other."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sm_proxy.daemon import wire
from sm_proxy.daemon.wire import Request, RequestReader

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no daemon")

TEXT = st.binary(max_size=20).map(lambda text: text.replace(b"\0", b""))


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    near.settimeout(60)
    far.settimeout(60)
    with near, far:
        yield near, far


def received(connection: socket.socket) -> tuple[Request, list[int]]:
    reader = RequestReader()
    while (request := reader.receive(connection)) is None:
        pass
    return request, reader.descriptors


@given(st.lists(TEXT), st.lists(TEXT), st.integers(0, 0o777))
def test_a_request_is_decoded_as_it_was(words: list[bytes], names: list[bytes], umask: int) -> None:
    data = Request("connect", "1\n2 é\udcff", words, names, umask).encode()
    found = Request.decode(data[4:])
    assert vars(found) == vars(Request("connect", "1\n2 é\udcff", words, names, umask))


@given(st.binary(max_size=60))
def test_other_bytes_are_refused_or_a_request(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert Request.decode(data).encode()[4:].count(b"\0") == data.count(b"\0")


def test_a_request_comes_with_its_descriptors(
    pair: tuple[socket.socket, socket.socket], tmp_path: Path
) -> None:
    near, far = pair
    files = [os.open(tmp_path / name, os.O_CREAT | os.O_RDWR) for name in "abcd"]
    far.sendall(wire.READY)
    wire.send_request(near, Request("connect", "i", [b"connect", b"h"], [b"A=1"], 0o22), files)
    request, found = received(far)
    assert (request.kind, request.words, request.umask) == ("connect", [b"connect", b"h"], 0o22)
    assert all(map(os.path.sameopenfile, files, found))
    assert not any(map(os.get_inheritable, found))
    for number in (*files, *found):
        os.close(number)


def test_a_request_may_come_byte_by_byte(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    reader = RequestReader()
    data = Request("status", "i").encode()
    for number, each in enumerate(data, start=1):
        near.sendall(bytes([each]))
        found = reader.receive(far)
        assert (found is not None) == (number == len(data))


def test_a_large_environment_arrives(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    large = [b"A=" + b"x" * 1_000_000] * 3
    near.setblocking(False)
    data = memoryview(Request("connect", "i", [], large).encode())
    reader = RequestReader()
    request = None
    while request is None:
        with contextlib.suppress(BlockingIOError):
            data = data[near.send(data) :]
        request = reader.receive(far)
    assert request.environment == large


@pytest.mark.parametrize(
    "request_",
    [
        Request("connect", "i", [b"a\0b"]),
        Request("connect", "i", [], [b"A=" + b"x" * wire.LARGEST]),
    ],
)
def test_a_request_that_the_daemon_would_refuse_is_not_sent(request_: Request) -> None:
    with pytest.raises(ValueError, match=r"NUL|larger"):
        request_.encode()


@pytest.mark.parametrize(
    "data",
    [
        (wire.LARGEST + 1).to_bytes(4, "big"),
        b"\0\0\0\1" + b"ab",
        b"\0\0\0\1" + b"a",
        b"\0\0\0\1" + b"\0",
        b"\0\0\0\7" + b"k\0i\x000\0x",
        b"\0\0\0\10" + b"k\0i\x000\0x\0",
        b"\0\0\0\10" + b"k\0i\x000\x001\0",
        b"\0\0\0\12" + b"k\0i\x00999\x000\0",
    ],
)
def test_an_invalid_request_is_refused(
    data: bytes, pair: tuple[socket.socket, socket.socket]
) -> None:
    near, far = pair
    near.sendall(data)
    with pytest.raises(ValueError, match=r"request|invalid"):
        RequestReader().receive(far)


def test_a_launcher_that_goes_away_is_noticed(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    near.sendall(Request("connect", "i").encode()[:-1])
    near.close()
    reader = RequestReader()
    assert reader.receive(far) is None
    with pytest.raises(EOFError):
        reader.receive(far)


def test_more_descriptors_than_expected_are_refused_and_closed(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    near, far = pair
    reading, writing = os.pipe()
    socket.send_fds(near, [b"\0"], [writing] * (wire.DESCRIPTORS + 2))
    os.close(writing)
    reader = RequestReader()
    with pytest.raises(ValueError, match="too many"):
        reader.receive(far)
    for number in reader.descriptors:
        os.close(number)
    assert os.read(reading, 1) == b""  # nobody has a copy of the other end
    os.close(reading)


def test_the_end_brings_the_exit_status(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    wire.end(near, 130)
    near.close()
    assert wire.receive_word(far) == (wire.ENDED, [])
    assert wire.receive_word(far) == (bytes([130]), [])
    assert wire.receive_word(far) == (b"", [])


def test_work_that_is_given_back_comes_with_the_descriptors(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    near, far = pair
    wire.give_back(near)
    word, found = wire.receive_word(far)
    assert word == wire.GIVEN_BACK
    assert all(map(os.path.sameopenfile, range(3), found))
    for number in found:
        os.close(number)
