from __future__ import annotations

from sm_proxy.ssm.acks import LATE_S, RECENT, Acks


def acknowledged(count: int, now: float = 0.0) -> Acks:
    """Messages 0 to `count` - 1 were acknowledged, and the acks were sent."""
    acks = Acks()
    for sequence in range(count):
        acks.add(sequence, b"%d" % sequence, now)
    acks.take()
    return acks


def test_taken_acks_are_not_given_again() -> None:
    acks = Acks()
    acks.add(0, b"0", 0.0)
    assert len(acks) == 1
    assert acks.take() == [b"0"]
    assert acks.take() == []


def test_an_early_copy_repeats_one_ack() -> None:
    acks = acknowledged(3)
    acks.add_again(0, b"0", LATE_S / 2)
    assert acks.take() == [b"0"]


def test_a_late_copy_repeats_all_later_acks() -> None:
    acks = acknowledged(4)
    acks.add_again(1, b"1", LATE_S)
    assert acks.take() == [b"1", b"2", b"3"]


def test_many_copies_repeat_later_acks_only_once() -> None:
    acks = acknowledged(RECENT)
    for _ in range(100):
        acks.add_again(0, b"0", LATE_S)
    assert len(acks) < RECENT + 100


def test_a_copy_older_than_all_kept_acks_counts_as_late() -> None:
    acks = acknowledged(RECENT + 10)
    acks.add_again(5, b"5", 0.1)
    assert len(acks) == RECENT


def test_a_new_connection_repeats_the_latest_acks() -> None:
    acks = acknowledged(RECENT + 10)
    acks.add(RECENT + 10, b"unsent", 0.1)
    acks.repeat()
    taken = acks.take()
    assert len(taken) == RECENT
    assert taken[-1] == b"unsent"
