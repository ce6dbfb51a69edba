"""Reads the host key of an SSH server, and hangs up.

The server gets our version line and the start of a key exchange: no user name, no key, no login. We
do not verify its signature over the key: whoever uses the answer lets ssh connect, and ssh verifies
it. What the server sends is bounded in bytes, and the whole probe in time.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable
from typing import Final

from sm_proxy import __version__
from sm_proxy.local import debug_log
from sm_proxy.public_key import signature_algorithms
from sm_proxy.tunnel.greeting import Greeting
from sm_proxy.tunnel.ssh_packets import ClearPackets, HostKeyReader

VERSION_LINE: Final = f"SSH-2.0-sm-proxy_{__version__.replace('-', '.')}\r\n".encode()
"""RFC 4253, section 4.2: no minus sign in the version."""
_CHUNK: Final = 1 << 15
_KEXINIT: Final = 20
_ECDH_INIT: Final = 30
_P256_GENERATOR: Final = bytes.fromhex(
    "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)
"""A point of the curve (SEC 2, section 2.4.2). It need not be secret: we never encrypt."""
_EXCHANGES: Final = (
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",  # servers in FIPS mode
)
_TYPES: Final = (
    "ssh-ed25519",
    *("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    "ssh-rsa",
)
"""The types of key to ask for, if any will do."""
_CIPHERS: Final = (
    *("chacha20-poly1305@openssh.com", "aes128-ctr", "aes256-ctr"),
    *("aes128-gcm@openssh.com", "aes256-gcm@openssh.com"),
)
_MACS: Final = ("hmac-sha2-256", "hmac-sha2-512", "hmac-sha2-256-etm@openssh.com", "hmac-sha1")


def read_host_key(address: str, port: int, types: Iterable[str], timeout_s: float) -> bytes | None:
    """The host key of the SSH server at an address.

    Args:
        address: IPv4 or IPv6.
        port: of the server.
        types: the types of key to ask for, such as `ssh-ed25519`, the best first; all if empty.
        timeout_s: seconds for all of it.

    Returns:
        The key in wire form. None if nothing answers in time, or not as an SSH server does, if the
        server has no key of these types, or refuses this address for a while.
    """
    until = time.monotonic() + timeout_s
    try:
        with socket.create_connection((address, port), timeout_s) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            found = _exchange(connection, list(types), until)
    except OSError as error:
        debug_log.write("no host key read", why=error)
        return None
    debug_log.write("host key read", found=found is not None)
    return found


def _exchange(connection: socket.socket, types: list[str], until: float) -> bytes | None:
    """Send each message once the server has sent what comes before it.

    Raises:
        OSError: the connection failed, or the time is over.
    """
    connection.sendall(VERSION_LINE)
    greeting, packets, reader = Greeting(), ClearPackets(), HostKeyReader()
    greeted = answered = False
    while not (reader.over or greeting.impossible):
        data = _receive(connection, until)
        if not data:
            return None
        greeting.feed(data)
        packets.add(data)
        reader.feed(data)
        if greeting.given and not greeted:
            greeted = True
            connection.sendall(_packet(_kexinit(types)))
        while (payload := packets.take()) is not None:
            if payload[0] == _KEXINIT:
                point = None if answered else _own_point(payload)
                if point is None:
                    return None
                answered = True
                connection.sendall(_packet(bytes([_ECDH_INIT]) + _string(point)))
    return reader.blob


def _receive(connection: socket.socket, until: float) -> bytes:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("the server is too slow")
    connection.settimeout(left)
    return connection.recv(_CHUNK)


def _own_point(kexinit: bytes) -> bytes | None:
    """Our public value for the first of our exchanges that the server knows; None without one.

    Args:
        kexinit: the server's message (RFC 4253, section 7.1): type, cookie of 16 bytes, lists.
    """
    size = int.from_bytes(kexinit[17:21], "big")
    theirs = kexinit[21 : 21 + size].decode("ascii", "replace").split(",")
    chosen = next((name for name in _EXCHANGES if name in theirs), None)
    if chosen is None:
        return None
    return _P256_GENERATOR if "nistp256" in chosen else os.urandom(32)


def _kexinit(types: list[str]) -> bytes:
    known = [
        name  # reversed: SHA-512 before SHA-256
        for kind in types or _TYPES
        for name in sorted(signature_algorithms(kind), reverse=True)
    ]
    lists = (_EXCHANGES, known, _CIPHERS, _CIPHERS, _MACS, _MACS, ("none",), ("none",), (), ())
    body = b"".join(_string(",".join(names).encode()) for names in lists)
    return bytes([_KEXINIT]) + os.urandom(16) + body + bytes(5)


def _packet(payload: bytes) -> bytes:
    """An unencrypted packet: padded to 8 bytes with at least 4 (RFC 4253, section 6)."""
    padding = 4 + -(len(payload) + 9) % 8
    return (
        (1 + len(payload) + padding).to_bytes(4, "big")
        + bytes([padding])
        + payload
        + bytes(padding)
    )


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data
