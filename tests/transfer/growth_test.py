from __future__ import annotations

import pytest

from sm_proxy.transfer.growth import TRIAL_S, Growth


@pytest.mark.parametrize(
    ("rates", "connections"),
    [
        ([100, 100, 100, 100, 100], 2),  # the second one did not help
        ([100, 190, 270, 280, 280], 4),
        ([0, 0, 0], 1),  # nothing moves: the fault is elsewhere
        ([100, 200, 400, 800, 1600], 6),
    ],
)
def test_connections_are_added_as_long_as_each_helps(rates: list[int], connections: int) -> None:
    now, moved, opened = 0.0, 0, 1
    growth = Growth(lambda: now)
    for rate in rates:
        for _ in range(10):
            now += TRIAL_S / 10 + 0.001
            moved += rate
            opened += growth.wants_one(moved)
    assert opened == connections
