"""The server's host key is read from real exchanges, in any splits, and from any bytes."""

from __future__ import annotations

import base64
import socket
import threading
from typing import Any

import paramiko
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sm_proxy.tunnel.ssh_packets import Acceptance, HostKeyReader
from tests.tunnel.packets import BLOB, GREETING, KEXINIT, NEWKEYS, REPLY, packet, portions, string

PRIME = packet(b"\x1f" + string(b"\0" + b"\xf5" * 256) + string(b"\2"))
GEX_REPLY = packet(b"\x21" + string(BLOB) + string(b"f" * 256) + string(b"s" * 83))
IGNORE = packet(b"\2" + string(b"nothing"))


def fed(*portions: bytes) -> HostKeyReader:
    reader = HostKeyReader()
    for portion in portions:
        reader.feed(portion)
    return reader


@pytest.mark.parametrize(
    "exchange",
    [
        GREETING + KEXINIT + REPLY + NEWKEYS + b"encrypted",
        GREETING + KEXINIT + PRIME + GEX_REPLY + NEWKEYS,
        GREETING + IGNORE + KEXINIT + IGNORE + REPLY,
    ],
)
@given(cuts=st.lists(st.integers(0, 4000), max_size=20))
def test_the_key_is_read_however_the_bytes_are_split(exchange: bytes, cuts: list[int]) -> None:
    reader = fed(*portions(exchange, cuts))
    assert (reader.blob, reader.over) == (BLOB, True)


def test_the_key_is_read_with_the_last_byte_of_the_reply() -> None:
    exchange = GREETING + KEXINIT + REPLY
    reader = fed(*[bytes([byte]) for byte in exchange[:-1]])
    assert (reader.blob, reader.over) == (None, False)
    reader.feed(exchange[-1:])
    assert reader.blob == BLOB


@given(data=st.lists(st.binary(max_size=300), max_size=20), start=st.sampled_from([b"", GREETING]))
def test_no_bytes_raise_an_error(data: list[bytes], start: bytes) -> None:
    fed(start, *data)
    acceptance = Acceptance()
    for portion in (start, *data):
        acceptance.feed(portion)


@given(body=st.binary(max_size=200), kind=st.sampled_from([31, 33]))
def test_a_reply_of_any_bytes_gives_a_key_or_none(body: bytes, kind: int) -> None:
    reader = fed(GREETING + packet(bytes([kind]) + body))
    assert reader.blob is None or reader.blob in body


@settings(max_examples=20)
@given(size=st.integers(1, 4000))
def test_the_reader_gives_up_after_a_limit(size: int) -> None:
    for filler in (b"x" * size, b"x\n" * size, IGNORE * size):
        reader = fed(GREETING if filler.startswith(IGNORE) else b"")
        taken = 0
        while not reader.over:
            reader.feed(filler)
            taken += len(filler)
            assert taken < (1 << 18) + (1 << 16) + 2 * len(filler)
        assert reader.blob is None


@pytest.mark.parametrize(
    "exchange",
    [
        GREETING + KEXINIT + NEWKEYS + REPLY,
        GREETING + b"\xff\xff\xff\xff" + REPLY,
        GREETING + b"\0\0\0\x0c\x0c" + b"\0" * 11 + REPLY,
    ],
)
def test_other_exchanges_give_no_key(exchange: bytes) -> None:
    reader = fed(exchange)
    assert (reader.blob, reader.over) == (None, True)


def test_a_certificate_is_left_to_ssh() -> None:
    name = string(b"ssh-ed25519-cert-v01@openssh.com")
    reader = fed(GREETING + packet(b"\x1f" + string(name + b"n" * 200) + string(b"q")))
    assert (reader.blob, reader.over) == (None, True)


class Recorder:
    """A socket that keeps the bytes that were received."""

    def __init__(self, behind: socket.socket) -> None:
        self.came = b""
        self._behind = behind

    def recv(self, size: int) -> bytes:
        data = self._behind.recv(size)
        self.came += data
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._behind, name)


@pytest.mark.parametrize(
    "method",
    ["curve25519-sha256@libssh.org", "ecdh-sha2-nistp256", "diffie-hellman-group14-sha256"],
)
def test_the_key_is_read_from_a_real_exchange(method: str) -> None:
    near, far = socket.socketpair()
    recorder = Recorder(near)
    key = paramiko.ECDSAKey.generate()
    with near, far:
        server = paramiko.Transport(far)
        server.add_server_key(key)
        client = paramiko.Transport(recorder)
        client.get_security_options().kex = (method,)
        try:
            server.start_server(event=threading.Event(), server=paramiko.ServerInterface())
            client.start_client(timeout=20)
        finally:
            client.close()
            server.close()
    reader = fed(*[bytes([byte]) for byte in recorder.came])
    assert reader.blob == base64.b64decode(key.get_base64())
