"""Versions compared as the agent compares them."""

from __future__ import annotations


def compare(this: str, other: str) -> int:
    """Compare component by component, as numbers where both are; more components win a tie.

    Returns:
        Below, at or above 0, as `this` is older, the same or newer.
    """
    ours, theirs = this.split("."), other.split(".")
    for mine, its in zip(ours, theirs, strict=False):
        if mine.isdigit() and its.isdigit():
            if int(mine) != int(its):
                return -1 if int(mine) < int(its) else 1
        elif mine != its:
            return -1 if mine < its else 1
    return len(ours) - len(theirs)
