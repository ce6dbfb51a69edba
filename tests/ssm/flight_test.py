from __future__ import annotations

import pytest

from sm_proxy.ssm.flight import Flight
from sm_proxy.ssm.timing import MAXIMUM_S


def always(_now: float) -> bool:
    return True


def sent(count: int, now: float = 0.0) -> Flight:
    flight = Flight()
    for number in range(count):
        flight.add(b"%d" % number, 100, now, is_data=False)
    return flight


def resent(flight: Flight, now: float, *, paused: bool = False) -> list[bytes]:
    return flight.resend(now, 10**6, paused=paused, may_send=always)


def test_a_silence_resends_only_the_oldest() -> None:
    flight = sent(5)
    assert resent(flight, 0.19) == []
    assert resent(flight, flight.deadline) == [b"0"]


def test_three_later_acks_make_a_message_lost_at_once() -> None:
    flight = sent(5)
    for sequence in (1, 2):
        flight.acknowledge(sequence, 0.01)
    assert resent(flight, 0.01) == []
    flight.acknowledge(3, 0.01)
    assert resent(flight, 0.01) == [b"0"]


def test_after_a_silence_the_rest_is_resent() -> None:
    flight = sent(5)
    assert resent(flight, 0.5) == [b"0"]
    flight.acknowledge(0, 0.6)
    assert flight.deadline < 1.0
    assert resent(flight, flight.deadline) == [b"1", b"2", b"3", b"4"]


def test_steady_acks_cause_no_resend() -> None:
    """A slow target acknowledges one by one; nothing of that is repeated."""
    flight = sent(100)
    for sequence in range(100):
        now = 0.15 * (sequence + 1)
        assert resent(flight, now) == []
        flight.acknowledge(sequence, now)
    assert not flight


def test_backing_off_doubles_up_to_a_bound() -> None:
    flight = sent(1)
    gaps, last = [], 0.0
    for _ in range(12):
        now = flight.deadline
        assert resent(flight, now) == [b"0"]
        gaps.append(now - last)
        last = now
    assert gaps[1] == pytest.approx(2 * gaps[0])
    assert max(gaps) == MAXIMUM_S


def test_a_resent_message_gives_no_round_trip() -> None:
    flight = sent(1)
    resent(flight, 0.2)
    flight.acknowledge(0, 5.0)
    assert not flight._timer.sampled


def test_a_broken_connection_resends_everything_in_order() -> None:
    flight = sent(4)
    flight.acknowledge(2, 0.01)
    flight.all_lost(1.0)
    assert resent(flight, 1.0) == [b"0", b"1", b"3"]
    assert flight.deadline > 1.0


def test_in_a_pause_the_oldest_is_resent_once_a_second() -> None:
    flight = sent(3)
    flight.all_lost(1.0)
    times: list[float] = []
    while len(times) < 3:
        now = max(1.0, flight.deadline)
        if resent(flight, now, paused=True):
            times.append(now)
    assert times[1] - times[0] >= 1.0
    flight.look_again()
    assert resent(flight, times[2]) == [b"1", b"2"]


def test_span_counts_what_is_acknowledged_behind_a_gap() -> None:
    flight = sent(10)
    for sequence in range(1, 10):
        flight.acknowledge(sequence, 0.01)
    assert (flight.span_bytes, flight.span_messages) == (1000, 10)
    flight.acknowledge(0, 0.02)
    assert (flight.span_bytes, flight.span_messages) == (0, 0)


def test_the_timeout_follows_clean_round_trips() -> None:
    flight = sent(2)
    flight.acknowledge(0, 1.0)
    flight.acknowledge(1, 1.0)
    assert flight._timer.timeout > 1.0


def test_unknown_acks_are_ignored() -> None:
    flight = sent(2)
    for sequence in (-1, 2, 10**30):
        assert not flight.acknowledge(sequence, 0.01)
    assert flight.span_messages == 2


def test_handshake_complete_is_a_round_trip() -> None:
    flight = sent(1)
    flight.handshake_answered(0.03)
    flight.add(b"data", 4, 0.03, is_data=True)
    assert 0.08 < flight._entries[1].due < 0.1
