from __future__ import annotations

from sm_proxy.ssm.acks import LATE_S, RECENT, Acks


def acknowledged(count: int, now: float = 0.0) -> Acks:
    """Messages 0 to `count` - 1 were acknowledged, and the acks have left."""
    acks = Acks()
    for sequence in range(count):
        acks.add(sequence, b"%d" % sequence, now)
    acks.take()
    return acks


def test_what_was_taken_is_gone() -> None:
    acks = Acks()
    acks.add(0, b"0", 0.0)
    assert len(acks) == 1
    assert acks.take() == [b"0"]
    assert acks.take() == []


def test_a_copy_that_crossed_its_ack_is_acknowledged_alone() -> None:
    acks = acknowledged(3)
    acks.add_again(0, b"0", LATE_S / 2)
    assert acks.take() == [b"0"]


def test_a_late_copy_brings_all_later_acks_with_it() -> None:
    acks = acknowledged(4)
    acks.add_again(1, b"1", LATE_S)
    assert acks.take() == [b"1", b"2", b"3"]


def test_an_agent_that_repeats_itself_is_not_flooded() -> None:
    acks = acknowledged(RECENT)
    for _ in range(100):
        acks.add_again(0, b"0", LATE_S)
    assert len(acks) < RECENT + 100


def test_a_copy_from_before_our_memory_is_late() -> None:
    acks = acknowledged(RECENT + 10)
    acks.add_again(5, b"5", 0.1)
    assert len(acks) == RECENT


def test_a_new_connection_is_told_the_latest() -> None:
    acks = acknowledged(RECENT + 10)
    acks.add(RECENT + 10, b"unsent", 0.1)
    acks.repeat()
    taken = acks.take()
    assert len(taken) == RECENT
    assert taken[-1] == b"unsent"
