"""A key exchange in clear packets, as a server sends it."""

from __future__ import annotations

import itertools

from tests.fakes import HOST_KEY, blob_of

BLOB = blob_of(HOST_KEY)
GREETING = b"hello\r\nSSH-2.0-server\r\n"


def string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def packet(payload: bytes, padding: int = 4) -> bytes:
    length = 1 + len(payload) + padding
    return length.to_bytes(4, "big") + bytes([padding]) + payload + b"\0" * padding


KEXINIT = packet(b"\x14" + b"k" * 600)
REPLY = packet(b"\x1f" + string(BLOB) + string(b"q" * 1184) + string(b"s" * 83))
NEWKEYS = packet(b"\x15", 10)


def portions(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]
