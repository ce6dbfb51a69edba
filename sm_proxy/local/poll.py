"""Waiting for descriptors, with one face on both platforms.

On POSIX it is poll, which also tells that the other end of a pipe was closed while unread bytes
wait in it: that is how we learn that ssh has gone while we are not ready to read. On Windows it
is select, over sockets only.
"""

from __future__ import annotations

import math
import select
import sys
from collections.abc import Iterable
from typing import Final, NamedTuple

_WINDOWS_TICK_S: Final = 0.5


class Ready(NamedTuple):
    """What can be done now."""

    readable: frozenset[int]
    hung_up: frozenset[int]
    """Descriptors whose other end is closed, among those that were watched for it."""


NOTHING: Final = Ready(frozenset(), frozenset())

if sys.platform == "win32":

    def wait(
        readers: Iterable[int], writers: Iterable[int], hangups: Iterable[int], timeout: float
    ) -> Ready:
        """Wait until one can be read or written, or `timeout` seconds have passed."""
        bound = min(max(0.0, timeout), _WINDOWS_TICK_S if list(hangups) else math.inf)
        readable, _, _ = select.select(
            list(readers), list(writers), [], None if bound == math.inf else bound
        )
        return Ready(frozenset(readable), frozenset())

else:

    def wait(
        readers: Iterable[int], writers: Iterable[int], hangups: Iterable[int], timeout: float
    ) -> Ready:
        """Wait until one can be read or written or is hung up, or `timeout` seconds have passed."""
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
