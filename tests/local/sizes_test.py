"""Numbers of bytes, for people."""

from __future__ import annotations

import pytest

from sm_proxy.local import sizes


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 KB"), (5.5e12, "5.5 TB"), (4e15, "4000.0 TB")],
)
def test_sizes_are_short(size: float, words: str) -> None:
    assert sizes.in_words(size) == words
