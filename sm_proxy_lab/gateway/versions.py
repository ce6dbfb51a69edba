"""Version comparison, as the agent does it."""

from __future__ import annotations


def compare(this: str, other: str) -> int:
    """Compare component by component, as numbers if both are; in a tie, more components win.

    Returns:
        Less than 0 if `this` is older, 0 if both are equal, more than 0 if `this` is newer.
    """
    ours, theirs = this.split("."), other.split(".")
    for mine, its in zip(ours, theirs, strict=False):
        if mine.isdigit() and its.isdigit():
            if int(mine) != int(its):
                return -1 if int(mine) < int(its) else 1
        elif mine != its:
            return -1 if mine < its else 1
    return len(ours) - len(theirs)
