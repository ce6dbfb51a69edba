"""What the agent makes of a shell's output; the expected values follow Go's decoder of UTF-8."""

from __future__ import annotations

import base64
import os
import random

import pytest

from sm_proxy_lab.gateway import rune_filter


def _through(data: bytes, sizes: list[int]) -> tuple[bytes, bytes]:
    """Filter data that is read in pieces of these sizes, again and again."""
    sent, held, start, number = b"", b"", 0, 0
    while start < len(data):
        size = sizes[number % len(sizes)]
        more, held = rune_filter.split(held + data[start : start + size])
        sent += more
        start, number = start + size, number + 1
    return sent, held


def test_base64_of_a_mebibyte_passes() -> None:
    text = base64.b64encode(os.urandom(3 << 18))
    assert len(text) == 1 << 20
    assert _through(text, [1024]) == (text, b"")


def test_characters_pass_wherever_a_read_cuts_them() -> None:
    text = "aé€😀\x00\x7f".encode() * 50
    for size in range(1, 9):
        sent, held = _through(text, [size])
        assert sent + held == text


@pytest.mark.parametrize(
    ("output", "sent", "held"),
    [
        (b"abc", b"abc", b""),
        (b"a\xefZ", b"a", b"\xefZ"),
        (b"\xff", b"", b"\xff"),
        (b"\xff\xff\xff", b"", b"\xff\xff\xff"),
        (b"\xff\xff\xff\xff", b"\xff", b"\xff\xff\xff"),
        (b"\xf0\x9f\x98", b"", b"\xf0\x9f\x98"),
        (b"\xffabcd", b"\xffabcd", b""),
        (b"\xef\xbf\xbdabc", b"\xefabc", b""),
        (b"\xef\xbf\xbd", b"", b"\xef\xbf\xbd"),
        (b"\xef\xbf\xbda", b"\xefa", b""),
        (b"\xed\xa0\x80abcd", b"\xed\xa0\x80abcd", b""),  # half of a surrogate pair
        (b"\xc0\x80abcd", b"\xc0\x80abcd", b""),  # longer than needed
    ],
)
def test_errors_are_treated_as_in_the_agent(output: bytes, sent: bytes, held: bytes) -> None:
    assert rune_filter.split(output) == (sent, held)


def test_most_random_packets_end_held_back() -> None:
    """So raw SSH cannot use a shell session: the other side waits for the held bytes."""
    chance = random.Random(7)  # noqa: S311
    packets = [chance.randbytes(64) for _ in range(2000)]
    share = sum(bool(rune_filter.split(packet)[1]) for packet in packets) / len(packets)
    assert 0.75 < share < 0.9
