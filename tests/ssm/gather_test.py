from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sm_proxy.ssm.gather import ENOUGH, FULL_BYTES, LONGEST_S, PART, Gather

FULL = bytes(FULL_BYTES)
ECHO = bytes(FULL_BYTES - 1)
NEVER = float("inf")


def bulk(seconds: float, every_s: float = 0.0015) -> tuple[Gather, float]:
    """A transfer that has lasted so long, with one message in each read; and the time."""
    gather, now = Gather(), 0.0
    while now < seconds:
        now += every_s
        gather.took([FULL], now)
    return gather, now


def test_messages_of_a_bulk_transfer_gather() -> None:
    gather, now = bulk(1)
    assert gather.until == pytest.approx(now + LONGEST_S)
    assert not gather.over(now)
    assert gather.over(now + LONGEST_S)
    assert gather.until == NEVER


def test_an_echo_is_never_waited_for() -> None:
    """A message that is not full brings all that the agent had: more may take any time."""
    gather, now = bulk(1)
    gather.took([FULL, FULL, ECHO], now + LONGEST_S)
    assert gather.until == NEVER
    gather.took([ECHO], now + 1)
    assert gather.until == NEVER


def test_after_an_echo_a_transfer_starts_again() -> None:
    gather, now = bulk(1)
    gather.took([ECHO], now)
    gather.took([FULL], now + 0.001)
    assert gather.until == NEVER


def test_a_short_answer_does_not_wait() -> None:
    gather, _ = bulk(0.06)
    assert gather.until == NEVER


def test_after_a_silence_a_transfer_starts_again() -> None:
    gather, now = bulk(1)
    gather.took([FULL], now + 0.1)
    assert gather.until == NEVER


def test_a_read_without_a_message_starts_no_wait() -> None:
    gather, now = bulk(1)
    gather.took([], now + LONGEST_S)
    assert gather.until == NEVER


def test_many_messages_at_once_need_not_gather() -> None:
    gather, now = bulk(1)
    gather.took([FULL] * ENOUGH, now + LONGEST_S)
    assert gather.until == NEVER


@given(
    st.lists(
        st.tuples(
            st.floats(0, 0.1),
            st.lists(st.sampled_from([FULL, FULL, FULL, ECHO]), max_size=ENOUGH + 1),
        )
    )
)
def test_a_wait_is_at_most_a_small_part_of_the_transfer(
    reads: list[tuple[float, list[bytes]]],
) -> None:
    gather, now = Gather(), 0.0
    since = 0.0  # the last moment at which the agent had no more
    for later, messages in reads:
        now += later
        gather.took(messages, now)
        if not messages or messages[-1] is ECHO:
            since = now
            assert gather.until == NEVER
        if gather.until < NEVER:
            assert gather.until - now <= min(LONGEST_S, (now - since) / PART) + 1e-9, (
                "but for rounding"
            )
