"""Changes of a request, each with its reason, so that a user can read what we send."""

from __future__ import annotations

import copy
import functools
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

Path = tuple[str | int, ...]
"""Keys and list positions from the request down to a value."""


@dataclass(frozen=True)
class Change:
    """One changed value of a request.

    Attributes:
        path: where, such as `VpcConfig.Subnets` or `InputDataConfig[2]`.
        before: the JSON value before; None if there was none.
        after: the JSON value after; None if it is removed.
        why: one plain sentence, for the user.
    """

    path: str
    before: Any
    after: Any
    why: str

    @property
    def as_data(self) -> dict[str, Any]:
        """For `--json`."""
        return {"path": self.path, "before": self.before, "after": self.after, "why": self.why}


class Draft:
    """A copy of a request that notes each change made to it.

    Attributes:
        request: the request as changed so far.
    """

    def __init__(self, request: Mapping[str, Any]) -> None:
        self.request: dict[str, Any] = copy.deepcopy(dict(request))
        self._changes: list[Change] = []

    @property
    def changes(self) -> tuple[Change, ...]:
        """The changes in the order in which they were made."""
        return tuple(self._changes)

    def get(self, path: Path) -> Any:
        """The value at `path`; None if there is none."""
        return value_at(self.request, path)

    def set(self, path: Path, value: Any, why: str) -> None:
        """Set a value, and make the objects above it; without effect if it is there already.

        Args:
            path: a list position that equals the list's length appends.
            value: a JSON value; None removes what is there.
            why: one plain sentence.
        """
        before = self.get(path)
        if before != value or type(before) is not type(value):
            change = Change(spelled(path), copy.deepcopy(before), copy.deepcopy(value), why)
            _put(self.request, path, copy.deepcopy(value))
            self._changes.append(change)


def value_at(request: Mapping[str, Any], path: Path) -> Any:
    """The value at `path` of a request; None if there is none."""
    try:
        return functools.reduce(lambda value, step: value[step], path, cast("Any", request))
    except (KeyError, IndexError, TypeError):
        return None


def spelled(path: Path) -> str:
    """A path as in `Change`."""
    shown = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return shown.removeprefix(".")


def _put(root: dict[str, Any], path: Path, value: Any) -> None:
    holder: Any = root
    for step, below in itertools.pairwise(path):
        empty: Any = [] if isinstance(below, int) else {}
        if isinstance(step, int):
            if step == len(holder):
                holder.append(empty)
        elif holder.get(step) is None:
            holder[step] = empty
        holder = holder[step]
    last = path[-1]
    if value is None:
        del holder[last]
    elif isinstance(last, int) and last == len(holder):
        holder.append(value)
    else:
        holder[last] = value
