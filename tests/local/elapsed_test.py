from __future__ import annotations

import pytest

from sm_proxy.local import elapsed


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0.0s"), (3.44, "3.4s"), (33, "33s"), (59.7, "1m00s"), (333, "5m33s"), (7500, "2h05m")],
)
def test_precise(seconds: float, words: str) -> None:
    assert elapsed.precise(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        *((0, "0s"), (1, "1s"), (90, "90s"), (120, "2m"), (150, "2m30s")),
        *((900, "15m"), (3600, "1h"), (5400, "1h30m"), (86400, "24h")),
    ],
)
def test_a_limit_is_as_short_as_it_can_be_written(seconds: int, words: str) -> None:
    assert elapsed.limit(seconds) == words
