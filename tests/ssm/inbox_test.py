from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sm_proxy.ssm.inbox import HELD_BYTES, Inbox
from sm_proxy.ssm.message import Message


def numbered(sequence: int, payload: bytes | None = None) -> Message:
    content = payload if payload is not None else b"%d," % sequence
    return Message("output_stream_data", sequence, 1, b"", content)


@given(order=st.permutations(range(12)), repeated=st.lists(st.integers(0, 11), max_size=20))
def test_any_order_with_copies_gives_one_stream(order: list[int], repeated: list[int]) -> None:
    inbox = Inbox()
    out: list[bytes] = []
    for sequence in [*repeated, *order, *repeated]:
        acknowledge, contents = inbox.accept(numbered(sequence))
        assert acknowledge
        out += [content.payload for content in contents]
    assert b"".join(out) == b"".join(b"%d," % item for item in range(12))
    assert not inbox.has_gap


def test_an_old_message_is_acknowledged_again() -> None:
    inbox = Inbox()
    inbox.accept(numbered(0))
    assert inbox.accept(numbered(0)) == (True, [])


def test_has_gap_while_a_message_is_missing() -> None:
    inbox = Inbox()
    inbox.accept(numbered(1))
    assert inbox.has_gap


def test_a_full_buffer_accepts_only_the_next_message() -> None:
    inbox = Inbox()
    piece = bytes(1 << 20)
    taken = [inbox.accept(numbered(item, piece))[0] for item in range(1, 64)]
    assert 20 < sum(taken) < 32
    assert HELD_BYTES == 32 << 20
    acknowledge, contents = inbox.accept(numbered(0))
    assert acknowledge
    assert len(contents) == 1 + sum(taken)
    assert inbox.accept(numbered(63, piece))[0], "there is room again"


def test_tiny_messages_are_bounded_too() -> None:
    inbox = Inbox()
    taken = sum(inbox.accept(numbered(item, b"x"))[0] for item in range(1, 200_000))
    assert taken < 140_000
