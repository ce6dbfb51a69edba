"""How much a test tries: a covering part in `script/test`, everything in `script/soak`.

`script/soak` runs every test module that imports from here, with `SM_PROXY_SOAK=1`.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable
from typing import Any, Final, TypeVar

import pytest

_Case = TypeVar("_Case")

SOAK: Final = os.environ.get("SM_PROXY_SOAK") == "1"
only_in_soak = pytest.mark.skipif(not SOAK, reason="runs in script/soak")


def cases(full: Iterable[_Case], quick: Iterable[_Case]) -> list[_Case]:
    """All of `full` in the soak, else `quick`, which is a part of it."""
    everything, part = list(full), list(quick)
    assert all(case in everything for case in part), "a quick case that the soak would leave out"
    return everything if SOAK else part


def product(*axes: Iterable[Any]) -> list[tuple[Any, ...]]:
    """Every combination in the soak, else each value of each axis at least once.

    Where two values interact, name that pair with `cases` instead.
    """
    values = [list(axis) for axis in axes]
    if SOAK:
        return list(itertools.product(*values))
    longest = max(map(len, values))
    return [tuple(axis[i % len(axis)] for axis in values) for i in range(longest)]
