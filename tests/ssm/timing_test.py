from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sm_proxy.ssm.timing import FIRST_TIMEOUT_S, MAXIMUM_S, MINIMUM_S, Pace, RetransmissionTimer


def test_timeout_follows_the_round_trips() -> None:
    timer = RetransmissionTimer()
    assert timer.timeout == FIRST_TIMEOUT_S
    for _ in range(50):
        timer.sample(1.0)
    assert 1.0 < timer.timeout < 1.1


@given(samples=st.lists(st.floats(0, 100), min_size=1))
def test_timeout_stays_within_its_bounds(samples: list[float]) -> None:
    timer = RetransmissionTimer()
    for sample in samples:
        timer.sample(sample)
        assert MINIMUM_S <= timer.timeout <= MAXIMUM_S


def test_only_the_first_data_message_has_a_short_timeout() -> None:
    timer = RetransmissionTimer()
    timer.sample(0.03)
    assert timer.first_timeout(is_data=False) == MINIMUM_S
    assert timer.first_timeout(is_data=True) == pytest.approx(0.06)
    assert timer.first_timeout(is_data=True) == MINIMUM_S


def test_a_longer_timeout_lasts_until_a_new_sample() -> None:
    timer = RetransmissionTimer()
    timer.at_least(6.0)
    assert timer.timeout == 6.0
    timer.sample(0.02)
    assert timer.timeout == MINIMUM_S


@given(start=st.floats(0, 1e9), rate=st.floats(0.5, 5000), burst=st.integers(1, 300))
def test_the_pace_allows_a_message_exactly_at_next_at(
    start: float, rate: float, burst: int
) -> None:
    pace = Pace(rate, burst)
    assert all(pace.take(start) for _ in range(burst))
    now = start
    for _ in range(20):
        now = max(now, pace.next_at)
        assert pace.take(now)


def test_pace_keeps_to_the_rate() -> None:
    pace = Pace(800, 160)
    let_through, now = 0, 0.0
    while now < 10:
        let_through += pace.take(now)
        now = max(now, pace.next_at)
    assert 160 + 8000 - 2 <= let_through <= 160 + 8000 + 2
