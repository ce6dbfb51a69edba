"""Messages between the processes of the daemon: JSON objects, one per line, on a Unix socket."""

from __future__ import annotations

import json
import os
import socket
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from sm_proxy.daemon import wire
from sm_proxy.local import poll

LIMIT: Final = 4 << 20
"""Bytes of the longest message: an environment is much shorter."""
_CHUNK: Final = 1 << 16
_DESCRIPTORS: Final = 3
"""How many descriptors come with a message at most."""


class Lines:
    """One end of a socket for messages; it never blocks, unless `within` says so.

    Attributes:
        ended: whether the other end is closed, or has sent what is no message.
    """

    def __init__(self, end: socket.socket) -> None:
        self.socket = end
        self.socket.setblocking(False)
        self.ended = False
        self._in = b""
        self._descriptors: list[int] = []
        self._whole: deque[dict[str, Any]] = deque()

    def fileno(self) -> int:
        """The descriptor to wait for."""
        return self.socket.fileno()

    def send(
        self, message: dict[str, Any], within: float = 0, descriptors: Sequence[int] = ()
    ) -> None:
        """Send a message, and copies of descriptors with it.

        Raises:
            OSError: the other end is closed, or has not taken it in time.
        """
        data = json.dumps(message).encode() + b"\n"
        until = time.monotonic() + within
        while data:
            try:
                data = data[wire.send_with(self.socket, data, descriptors) :]
                descriptors = ()
            except BlockingIOError:  # noqa: PERF203 - a message is sent in one or two rounds
                if (left := until - time.monotonic()) <= 0:
                    raise TimeoutError("the other process does not read") from None
                poll.wait([], [self.fileno()], [], left)

    def received(self) -> list[dict[str, Any]]:
        """The messages that have come."""
        self._receive()
        found = list(self._whole)
        self._whole.clear()
        return found

    def next(self, until: float) -> dict[str, Any] | None:
        """The next message; None at the end, or if there is none until then.

        Args:
            until: the time of `time.monotonic`.
        """
        self._receive()
        while not self._whole and not self.ended and (left := until - time.monotonic()) > 0:
            poll.wait([self.fileno()], [], [], left)
            self._receive()
        return self._whole.popleft() if self._whole else None

    def take_descriptors(self) -> list[int]:
        """The descriptors that have come; they belong to the caller."""
        found, self._descriptors = self._descriptors, []
        return found

    def close(self) -> None:
        """Close this end."""
        self.ended = True
        self.socket.close()
        for descriptor in self.take_descriptors():
            os.close(descriptor)

    def _receive(self) -> None:
        while not self.ended and len(self._in) <= LIMIT:
            try:
                data, came, _ = wire.receive_with(self.socket, _CHUNK, _DESCRIPTORS)
                self._descriptors += came
            except BlockingIOError:
                break
            except OSError:
                data = b""
            self._in += data
            self.ended = not data
        *lines, self._in = self._in.split(b"\n")
        try:
            found = [json.loads(line) for line in lines]
        except ValueError:
            found = [None]
        if len(self._in) <= LIMIT and all(isinstance(message, dict) for message in found):
            self._whole.extend(found)
        else:
            self.ended = True
