"""The host names that lists have shown: what TAB completes without a call to AWS.

One record holds the names of all prefixes. Names are checked when they are written and when they
are read, so that no shell ever sees a character that means something to it.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final

from sm_proxy.errors import SmProxyError
from sm_proxy.state.cache import Cache

LIMIT: Final = 5000
"""How many names are kept: the record stays below the size that the cache reads."""
KEEP_S: Final = 14 * 24 * 3600.0
"""How long a name is kept after a list has shown it last."""
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,251}")
_KIND: Final = re.compile(r"[a-z]{0,16}")
_KEY: Final = "all"


@dataclass(frozen=True)
class HostName:
    """A host name, and what it led to when it was seen last.

    Attributes:
        host: the whole name, with its prefix.
        kind: of the job, such as `training`; empty if unknown.
        created: when the job was created, in Unix seconds; orders the names.
        ended: whether the job is over.
        seen: in Unix seconds.
    """

    host: str
    kind: str = ""
    created: float = 0.0
    ended: bool = False
    seen: float = 0.0


def keep(names: Iterable[HostName]) -> None:
    """Add names to the record, or change what is known of them; failures are ignored.

    A name that was added at the same time by another process may be lost until the next list.

    Args:
        names: `seen` is set here; an unknown kind or time leaves what is known.
    """
    now = time.time()
    with contextlib.suppress(SmProxyError):  # there is no home folder
        cache = Cache("hosts")
        known = {item.host: item for item in _valid(cache.load(_KEY), now)}
        for item in _checked(_row(item, now) for item in names):
            known[item.host] = _merged(known.get(item.host, item), item)
        newest = sorted(known.values(), key=_order)[:LIMIT]
        record = {"names": [list(asdict(item).values()) for item in newest]}
        cache.save(_KEY, record=record, expires=now + KEEP_S)


def read() -> list[HostName]:
    """The known names: first those of live jobs, each newest first; empty if nothing is known."""
    with contextlib.suppress(SmProxyError):
        return sorted(_valid(Cache("hosts").load(_KEY), time.time()), key=_order)
    return []


def is_plain(name: str) -> bool:
    """Whether a shell takes the name as one word, which is no option."""
    return _NAME.fullmatch(name) is not None


def _merged(old: HostName, new: HostName) -> HostName:
    return replace(new, kind=new.kind or old.kind, created=new.created or old.created)


def _order(item: HostName) -> tuple[bool, float, str]:
    return item.ended, -item.created, item.host


def _row(item: HostName, now: float) -> list[Any]:
    return [item.host, item.kind, float(item.created), item.ended, now]


def _valid(record: dict[str, Any] | None, now: float) -> list[HostName]:
    rows = (record or {}).get("names")
    found = _checked(rows if isinstance(rows, list) else ())
    return [item for item in found if now - KEEP_S < item.seen]


def _checked(rows: Iterable[Any]) -> list[HostName]:
    """The rows that are possible; others are left out, because something else wrote them."""
    types = [str, str, float, bool, float]
    assert len(types) == len(fields(HostName))  # noqa: S101 - a new field needs its type
    return [
        HostName(*row)
        for row in rows
        if isinstance(row, list)
        if [type(value) for value in row] == types
        if is_plain(row[0]) and _KIND.fullmatch(row[1])
    ]
