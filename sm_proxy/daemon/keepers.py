"""The daemon's list of keepers: the processes that hold a session for further connections.

The daemon only passes descriptors on. A connection that wants a stream gives two ends of socket
pairs: one for messages, one for the bytes. They go to a keeper whose session has the same key,
else to a new one. The keeper decides whether its session is quiet enough for one more stream.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sm_proxy.daemon.lines import Lines

ADD: Final = b"+"
"""What comes with the two descriptors of a connection."""
_UNSURE: Final = 64
"""How many keys are remembered whose credentials only a call can tell."""

Start = Callable[[Sequence[socket.socket]], int]
"""Starts a process that calls `keeper.run` with these sockets; returns its id.

Raises:
    OSError: no process can be started.
"""


@dataclass
class _Keeper:
    pid: int
    key: str
    lines: Lines
    began: float = field(default_factory=time.time)
    state: dict[str, Any] = field(default_factory=dict)


class Keepers:
    """All keepers of this daemon.

    Args:
        start: starts one.
    """

    def __init__(self, start: Start) -> None:
        self._start = start
        self._keepers: dict[int, _Keeper] = {}
        self._unsure: list[str] = []

    def __len__(self) -> int:
        """How many there are; the daemon does not end while there is one."""
        return len(self._keepers)

    def attach(self, request: dict[str, Any], messages: socket.socket, data: socket.socket) -> None:
        """Give a connection to a keeper.

        Both sockets are closed here. If no keeper gets them, the connection sees their end.

        Args:
            request: `key`; `without`, the ids of keepers that have refused; `sure`, whether the
                key is that of credentials that have been resolved.
            messages: the keeper's end for messages.
            data: the keeper's end for the bytes.
        """
        with messages, data:
            key, without = str(request["key"]), request.get("without", ())
            if key in self._unsure and not request.get("sure"):
                with contextlib.suppress(OSError):
                    Lines(messages).send({"state": "resolve"})
                return
            for keeper in reversed(list(self._keepers.values())):
                if keeper.key == key and keeper.pid not in without:
                    with contextlib.suppress(OSError):
                        _give(keeper, messages, data)
                        return
            self._begin(key, messages, data)

    def filenos(self) -> list[int]:
        """The descriptors to wait for; then call `heard`."""
        return [keeper.lines.fileno() for keeper in self._keepers.values()]

    def heard(self, fileno: int) -> None:
        """Take what a keeper tells about itself. One that says no more gets no connection."""
        for keeper in list(self._keepers.values()):
            if keeper.lines.fileno() == fileno:
                for state in keeper.lines.received():
                    self._note(keeper, state)
                if keeper.lines.ended:
                    self.ended(keeper.pid)

    def ended(self, pid: int) -> None:
        """Forget a keeper whose process has ended."""
        if (keeper := self._keepers.pop(pid, None)) is not None:
            keeper.lines.close()

    def states(self) -> list[dict[str, Any]]:
        """What `daemon status` shows of each: see `keeper.Keeper.state`."""
        return [
            {"pid": keeper.pid, "since": keeper.began, **keeper.state}
            for keeper in self._keepers.values()
        ]

    def release(self) -> list[int]:
        """Let go of all keepers; those without a stream end now. Returns their process ids.

        In a fork of the daemon, call it too: the ends of a keeper's socket must not stay open.
        """
        pids = list(self._keepers)
        for pid in pids:
            self.ended(pid)
        return pids

    def _begin(self, key: str, messages: socket.socket, data: socket.socket) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                pid = self._start([theirs, messages, data])
            except OSError:
                ours.close()
                return
        self._keepers[pid] = _Keeper(pid, key, Lines(ours))

    def _note(self, keeper: _Keeper, state: dict[str, Any]) -> None:
        if sure_key := state.pop("key", ""):
            self._unsure = [*self._unsure, keeper.key][-_UNSURE:]
            keeper.key = str(sure_key)
        keeper.state = state


def _give(keeper: _Keeper, messages: socket.socket, data: socket.socket) -> None:
    socket.send_fds(keeper.lines.socket, [ADD], [messages.fileno(), data.fileno()])
