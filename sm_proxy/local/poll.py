"""Wait for descriptors, with one interface for POSIX and Windows.

POSIX has `poll`. It reports a closed pipe even while unread bytes are in it: this is how we notice
that ssh has exited while we are not reading. Windows has `select`, for sockets only.
"""

from __future__ import annotations

import math
import select
import sys
import time
from collections.abc import Iterable
from typing import Final, NamedTuple

_WINDOWS_TICK_S: Final = 0.5


class Ready(NamedTuple):
    """The descriptors that are ready."""

    readable: frozenset[int]
    hung_up: frozenset[int]
    """Those of `hangups` whose other end is closed."""


NOTHING: Final = Ready(frozenset(), frozenset())

if sys.platform == "win32":

    def wait(
        readers: Iterable[int], writers: Iterable[int], hangups: Iterable[int], timeout: float
    ) -> Ready:
        """Wait until a descriptor can be read or written; `timeout` seconds at most."""
        bound = min(max(0.0, timeout), _WINDOWS_TICK_S if list(hangups) else math.inf)
        lists = list(readers), list(writers)
        if not any(lists) and bound < math.inf:  # `select` refuses to wait for nothing
            time.sleep(bound)
            return NOTHING
        readable, _, _ = select.select(*lists, [], None if bound == math.inf else bound)
        return Ready(frozenset(readable), frozenset())

else:

    def wait(
        readers: Iterable[int], writers: Iterable[int], hangups: Iterable[int], timeout: float
    ) -> Ready:
        """Wait until a descriptor can be read, written or hangs up; `timeout` seconds at most."""
        masks: dict[int, int] = dict.fromkeys(hangups, 0)
        watched = frozenset(masks)
        for descriptor in readers:
            masks[descriptor] = masks.get(descriptor, 0) | select.POLLIN
        for descriptor in writers:
            masks[descriptor] = masks.get(descriptor, 0) | select.POLLOUT
        poll = select.poll()
        for descriptor, mask in masks.items():
            poll.register(descriptor, mask)
        bound = None if timeout == math.inf else math.ceil(max(0.0, timeout) * 1000)
        events = poll.poll(bound)
        broken = select.POLLHUP | select.POLLERR
        return Ready(
            frozenset(item for item, event in events if event & (select.POLLIN | broken)),
            frozenset(item for item, event in events if event & broken and item in watched),
        )
