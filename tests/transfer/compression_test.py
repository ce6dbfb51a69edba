"""Which data are compressed: those that zlib makes much smaller."""

from __future__ import annotations

import os
import random
import struct

import pytest

from sm_proxy.transfer import compression


def normal(count: int) -> list[float]:
    chance = random.Random(7)  # noqa: S311 - always the same numbers
    return [chance.gauss(0, 0.02) for _ in range(count)]


def float32(count: int) -> bytes:
    return struct.pack(f"<{count}f", *normal(count))


def bfloat16(count: int) -> bytes:
    whole = float32(count)
    return b"".join(whole[at + 2 : at + 4] for at in range(0, len(whole), 4))


def log(count: int) -> bytes:
    chance = random.Random(8)  # noqa: S311 - as above
    return b"".join(
        b"2026-11-29 12:00:%02d step %d loss %.4f lr 3e-4\n" % (n % 60, n, chance.random())
        for n in range(count)
    )


def test_text_and_holes_are_compressed() -> None:
    assert compression.worthwhile(log(1500))
    assert compression.worthwhile(b"import os\nimport sys\n" * 200)
    assert compression.worthwhile(bytes(65536))


def test_floats_and_what_is_compressed_already_are_not() -> None:
    assert not compression.worthwhile(float32(16384))
    assert not compression.worthwhile(bfloat16(32768))
    assert not compression.worthwhile(os.urandom(65536))
    assert not compression.worthwhile(b"")


@pytest.mark.parametrize("size", [1, 1000, 16384, 40000, 10**6, 10**12])
def test_a_sample_is_spread_and_does_not_overlap(size: int) -> None:
    found = compression.places(size)
    assert found[0] == 0
    assert found[-1] < size
    assert len(found) <= compression.PIECES
    if size >= compression.PIECE:
        ends = [*found[1:], size]
        pairs = zip(found, ends, strict=True)
        assert all(end - start >= compression.PIECE for start, end in pairs)
