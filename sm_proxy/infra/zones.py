"""The availability zones of a network: as the user names them, or the first of the region."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from sm_proxy.aws import asking
from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError, printable

FEWEST: Final = 2
"""A network in a single zone fails with that zone."""
MOST: Final = 6
"""No region has more zones, and the plan of addresses has room for eight."""
_WORD: Final = re.compile(r"[a-z]{2,4}(?:-[a-z]+)+-\d+[a-z]|[a-z]")
_SHOWN: Final = 40


def parse(text: str) -> int | tuple[str, ...]:
    """What `--zones` says: how many zones, or their names.

    Args:
        text: `3`, `eu-west-1a,eu-west-1c`, or only the last letters: `a,c`.

    Raises:
        ValueError: it is neither, or there are too few or too many; the message completes "must
            be".
    """
    words = [word for word in re.split(r"[,\s]+", text.strip()) if word]
    if len(words) == 1 and words[0].isdecimal() and len(words[0]) < 4:
        number = int(words[0])
        if not FEWEST <= number <= MOST:
            raise ValueError(f"from {FEWEST} to {MOST} zones, not {number}")
        return number
    for word in words:
        if not _WORD.fullmatch(word):
            shown = printable(word, _SHOWN)
            raise ValueError(f"a number such as 3, or names such as eu-west-1a, not {shown!r}")
    if len(set(words)) != len(words):
        raise ValueError("names that differ")
    if not FEWEST <= len(words) <= MOST:
        raise ValueError(f"from {FEWEST} to {MOST} zones, not {len(words)}")
    return tuple(words)


def named(region: str, names: Sequence[str]) -> tuple[str, ...]:
    """The full names of zones of a region, in their order, without a call.

    Args:
        region: such as `eu-west-1`.
        names: as `parse` returns them.

    Raises:
        SmProxyError: `usage`, a zone is of another region, or named twice.
    """
    full = tuple(sorted(f"{region}{name}" if len(name) == 1 else name for name in names))
    for name in full:
        if name[:-1] != region:
            what = f"the zone {printable(name, _SHOWN)} is not in the region {region}"
            raise SmProxyError("usage", what, "Name zones of that region, or another --region.")
    if len(set(full)) != len(full):
        raise SmProxyError("usage", "a zone is named twice", "Name each zone once.")
    return full


def choose(aws: Aws, wanted: int | Sequence[str], before: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The zones to use, checked: those that the stack has, then others sorted by name.

    Of a number, they are the first ones, thus the same in each run.

    Args:
        aws: for the call; its region counts.
        wanted: how many zones, or their names, as `parse` returns them.
        before: the zones that the stack has, in the order of their blocks of addresses.

    Raises:
        SmProxyError: `usage`, the region has too few zones, or not those, or a zone would get the
            addresses of another; or the call fails.
    """
    usable = _usable(aws)
    usable = (*before, *(name for name in usable if name not in before))
    has = f"{aws.region} has {', '.join(usable) or 'none'} for this account"
    if isinstance(wanted, int):
        if len(usable) < wanted:
            what = f"there are no {wanted} availability zones: {has}"
            hint = f"Use --zones {len(usable)}." if len(usable) >= FEWEST else "Use another region."
            raise SmProxyError("usage", what, hint)
        return usable[:wanted]
    names = named(aws.region, wanted)
    if missing := [name for name in names if name not in usable]:
        what = f"no availability zone that can be used is called {', '.join(missing)}: {has}"
        raise SmProxyError("usage", what, "Name some of those with --zones.")
    found = tuple(sorted(names, key=usable.index))
    _refuse_exchange(found, before)
    return found


def _refuse_exchange(found: tuple[str, ...], before: tuple[str, ...]) -> None:
    """A subnet's block is free for another zone only after an update that removes the subnet."""
    both = list(zip(found, before, strict=False))
    same = [name for name, old in both if name == old]
    if len(same) == len(both):
        return
    raise SmProxyError(
        "usage",
        f"a zone cannot get the addresses of another: the stack has {', '.join(before)}, in this"
        " order",
        f"Add zones, or leave the last ones out: --zones {','.join(before)} and more, or fewer.",
    )


def _usable(aws: Aws) -> tuple[str, ...]:
    """Zones that are available and opted in; local and wavelength zones have no SageMaker."""
    answer = asking.ask(aws, "ec2", "DescribeAvailabilityZones")
    return tuple(
        sorted(
            str(item["ZoneName"])
            for item in answer.get("AvailabilityZones", [])
            if item.get("State", "available") == "available"
            and item.get("ZoneType", "availability-zone") == "availability-zone"
            and item.get("OptInStatus", "opted-in") != "not-opted-in"
        )
    )
