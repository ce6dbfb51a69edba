"""Which data are compressed: those that zlib makes much smaller."""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Sequence

import pytest

from sm_proxy.transfer import compression
from sm_proxy.transfer.compression import PIECE, PIECES, Choice
from sm_proxy.transfer.model import Entry


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


def entry(name: str, size: int) -> Entry:
    return Entry("file", name, f"here/{name}", size, 0o644, 1, 1)


class Reader:
    """Files whose content is chosen by their names."""

    def __init__(self, **contents: bytes) -> None:
        self.contents = contents
        self.read_bytes = 0

    def __call__(self, path: str, offsets: Sequence[int]) -> bytes:
        if path not in self.contents:
            raise FileNotFoundError(path)
        content = self.contents[path]
        found = b"".join(
            content[place : place + PIECE] for place in range(0, len(offsets) * PIECE, PIECE)
        )
        self.read_bytes += len(found)
        return found


NOISE = os.urandom(PIECES * PIECE)


@pytest.mark.parametrize("asked", [True, False])
def test_an_explicit_choice_is_used_without_a_sample(asked: bool) -> None:
    reader = Reader()
    assert compression.choose(asked, [entry("a", 10**9)], reader) == Choice(asked, "as you asked")
    assert reader.read_bytes == 0


def test_few_bytes_are_not_looked_at() -> None:
    reader = Reader(a=bytes(PIECE))
    assert not compression.choose(None, [entry("a", 100_000)], reader).compress
    assert reader.read_bytes == 0


def test_the_file_with_most_bytes_decides() -> None:
    reader = Reader(log=log(1000), model=NOISE)
    files = [entry("log", 10**6), entry("model", 10**9)]
    choice = compression.choose(None, files, reader)
    assert choice.words == "not compressed: a sample does not shrink"
    files = [entry("log", 10**9), entry("model", 10**6)]
    assert compression.choose(None, files, reader).words == "compressed: a sample shrinks"
    assert reader.read_bytes <= 2 * PIECES * PIECE


def test_several_of_many_files_decide() -> None:
    names = [f"n{number}" for number in range(1000)]
    files = [entry(name, 100_000) for name in names]
    reader = Reader(**dict.fromkeys(names, log(1000)))
    assert compression.choose(None, files, reader).compress
    assert 0 < reader.read_bytes <= PIECES * PIECE


def test_a_file_that_is_gone_tells_nothing() -> None:
    assert not compression.choose(None, [entry("gone", 10**9)], Reader()).compress


def test_a_direct_connection_is_not_slowed_down() -> None:
    reader = Reader(a=log(1000))
    choice = compression.choose(None, [entry("a", 10**9)], reader, is_direct=True)
    assert choice.words == "not compressed: the connection is direct"
    assert compression.choose(True, [entry("a", 10**9)], reader, is_direct=True).compress
