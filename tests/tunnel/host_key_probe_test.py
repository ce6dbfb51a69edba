"""The probe reads a server's host key; a foreign server learns next to nothing, and cannot hurt."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from sm_proxy.tunnel import host_key_probe
from sm_proxy.tunnel.blocking_socket import import_paramiko
from sm_proxy.tunnel.host_key_probe import read_host_key
from sm_proxy.tunnel.ssh_packets import ClearPackets
from tests.tunnel.packets import BLOB, GREETING, REPLY, packet, string

paramiko = import_paramiko()

LONG_S = 60.0
"""A time that no test waits for."""
Serve = Callable[[socket.socket], None]


@contextlib.contextmanager
def served(serve: Serve) -> Iterator[tuple[str, int]]:
    """A server that treats one connection with `serve`."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)

        def work() -> None:
            connection, _ = server.accept()
            connection.settimeout(60)
            with connection, contextlib.suppress(OSError):
                serve(connection)

        thread = threading.Thread(target=work)
        thread.start()
        yield server.getsockname()
        thread.join(60)
        assert not thread.is_alive()


def probe(serve: Serve, *types: str, timeout_s: float = LONG_S) -> bytes | None:
    with served(serve) as (address, port):
        return read_host_key(address, port, types, timeout_s)


def kexinit(*exchanges: str) -> bytes:
    lists = [",".join(exchanges), "ssh-ed25519", *["none"] * 6, "", ""]
    body = b"".join(string(names.encode()) for names in lists)
    return packet(b"\x14" + bytes(16) + body + bytes(5))


USUAL = kexinit("curve25519-sha256")


def sends(*parts: bytes) -> Serve:
    """Send all at once, then read until the client hangs up."""

    def serve(connection: socket.socket) -> None:
        connection.sendall(b"".join(parts))
        while connection.recv(1 << 16):
            pass

    return serve


@pytest.mark.parametrize("exchange", ["curve25519-sha256@libssh.org", "ecdh-sha2-nistp256"])
@pytest.mark.parametrize("kind", ["ecdsa-sha2-nistp256", "ssh-rsa"])
def test_the_key_of_a_real_server_is_read(exchange: str, kind: str) -> None:
    keys = {
        "ecdsa-sha2-nistp256": paramiko.ECDSAKey.generate(),
        "ssh-rsa": paramiko.RSAKey.generate(2048),
    }
    tried: list[object] = []

    def serve(connection: socket.socket) -> None:
        transport = paramiko.Transport(connection)
        for key in keys.values():
            transport.add_server_key(key)
        transport.get_security_options().kex = (exchange,)
        event = threading.Event()
        transport.start_server(event, paramiko.ServerInterface())
        transport.join(60)
        tried.append(transport.get_username())

    assert probe(serve, kind) == keys[kind].asbytes()
    assert tried == [None]


def test_a_foreign_host_gets_a_version_line_and_a_key_exchange() -> None:
    got = bytearray()

    def serve(connection: socket.socket) -> None:
        got.extend(connection.recv(1 << 16))
        assert got == host_key_probe.VERSION_LINE
        connection.sendall(GREETING)
        got.extend(connection.recv(1 << 16))
        connection.sendall(USUAL)
        got.extend(connection.recv(1 << 16))
        connection.sendall(REPLY)
        while data := connection.recv(1 << 16):
            got.extend(data)

    assert probe(serve, "ssh-ed25519") == BLOB
    assert got.startswith(host_key_probe.VERSION_LINE)
    packets = ClearPackets()
    packets.add(bytes(got))
    payloads = []
    while (payload := packets.take()) is not None:
        payloads.append(payload)
    assert [payload[0] for payload in payloads] == [20, 30]
    assert len(payloads[1]) == 1 + 4 + 32
    rest = got.removeprefix(host_key_probe.VERSION_LINE)
    assert len(rest) == sum(4 + 1 + len(payload) + padding_of(payload) for payload in payloads)


def padding_of(payload: bytes) -> int:
    return 4 + -(len(payload) + 9) % 8


@pytest.mark.parametrize(
    "parts",
    [
        (b"Not allowed at this time\r\n",),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n",),
        (GREETING,),
        (GREETING, kexinit("diffie-hellman-group1-sha1")),
        (GREETING, packet(b"\x14")),
        (GREETING, packet(b"\x14" + b"\xff" * 40)),
        (GREETING, packet(b"\x01" + bytes(4) + string(b"bye"))),
        (GREETING, USUAL, packet(b"\x1f" + string(string(b"ssh-ed25519-cert-v01@openssh.com")))),
        (GREETING, USUAL, packet(b"\x1f" + b"\xff" * 40)),
        (GREETING, b"\xff" * 64),
    ],
)
def test_other_servers_have_no_key(parts: tuple[bytes, ...]) -> None:
    def serve(connection: socket.socket) -> None:
        connection.sendall(b"".join(parts))
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1 << 16):
            pass

    assert probe(serve, "ssh-ed25519") is None


def test_only_one_key_exchange_is_answered() -> None:
    assert probe(sends(GREETING, USUAL * 1000)) is None


@pytest.mark.parametrize(
    "stuff",
    [b"line\n", b"SSH-", b"\0" * 64, packet(b"\x02" + bytes(900))],
    ids=["lines", "one line", "zeros", "packets to ignore"],
)
def test_endless_talk_is_cut_short(stuff: bytes) -> None:
    """The probe gives up long before its time, at a bounded number of bytes."""
    sent = 0

    def serve(connection: socket.socket) -> None:
        nonlocal sent
        connection.sendall(GREETING if stuff[:1] == b"\0" else b"hello\r\n")
        while True:
            connection.sendall(stuff * 100)
            sent += len(stuff) * 100

    assert probe(serve) is None
    assert sent < 64 << 20


def test_a_silent_server_costs_the_time_given() -> None:
    begun = time.monotonic()
    assert probe(sends(GREETING), timeout_s=0.2) is None
    assert time.monotonic() - begun >= 0.2


def test_one_byte_after_the_other_buys_no_more_time() -> None:
    def serve(connection: socket.socket) -> None:
        while True:
            connection.sendall(b"x")
            time.sleep(0.01)

    assert probe(serve, timeout_s=0.3) is None


def test_a_closed_port_has_no_key() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address, port = server.getsockname()
    assert read_host_key(address, port, [], LONG_S) is None


def test_an_unknown_type_of_key_is_asked_for_by_its_name() -> None:
    assert b"webauthn-key" in host_key_probe._kexinit(["webauthn-key"])
    everything = host_key_probe._kexinit([])
    assert b"ssh-ed25519" in everything
    assert b"rsa-sha2-512" in everything
