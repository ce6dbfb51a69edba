from __future__ import annotations

from datetime import datetime, timezone

import pytest

from sm_proxy.jobs.times import first_time, in_words, now


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0 s"),
        (0.9, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (86399, "23 h"),
        (86400, "1 d"),
        (40 * 86400, "40 d"),
    ],
)
def test_durations_are_shown_in_their_largest_unit(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_the_first_value_that_is_a_time_is_taken() -> None:
    then = datetime(2026, 11, 23, tzinfo=timezone.utc)
    assert first_time(None, "x", then, now()) is then
    assert abs((first_time(None) - now()).total_seconds()) < 5
