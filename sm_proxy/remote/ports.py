"""Which ports of a container are forwarded, and the local ports that they get."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sm_proxy.errors import SmProxyError

LOOPBACK: Final = "127.0.0.1"
_WORD: Final = re.compile(r"(?:([0-9]{1,5}):)?([0-9]{1,5})")
_HIGHEST: Final = 65535
_TRIED: Final = 20
"""How many ports above a busy one are tried, before the system chooses one."""
_PRIVILEGED: Final = 1024
_UP: Final = 8000
"""80 becomes 8080, if this user may not open it."""
_BACKLOG: Final = 128


@dataclass(frozen=True)
class Forward:
    """One port of the container, and the local one.

    Attributes:
        local: the local port; 0 for any.
        port: of the container.
    """

    local: int
    port: int

    @classmethod
    def parse(cls, word: str) -> Forward:
        """`[LOCAL:]PORT`; without LOCAL, it is the same number.

        Raises:
            ValueError: with a text for people.
        """
        found = _WORD.fullmatch(word)
        if found is None:
            raise ValueError(f"PORT or LOCAL:PORT, not {word!r}")
        port = int(found[2])
        local = port if found[1] is None else int(found[1])
        if not 1 <= port <= _HIGHEST or local > _HIGHEST:
            raise ValueError(f"a port from 1 to {_HIGHEST}, not {word!r}")
        return cls(local, port)

    @property
    def choices(self) -> list[int]:
        """The local ports to try, the best first."""
        above = [self.local + _UP] if self.local < _PRIVILEGED else []
        near = range(self.local + 1, self.local + 1 + _TRIED)
        return [port for port in (self.local, *above, *near) if port <= _HIGHEST] + [0]


def listen(forward: Forward, on_status: Callable[[str], None]) -> socket.socket:
    """Listen on the local port, or on the next free one.

    Args:
        forward: the ports.
        on_status: takes a line if the port is another one.

    Raises:
        SmProxyError: `unsupported`, this machine gives no port.
    """
    why = ""
    for port in forward.choices:
        try:
            listener = socket.create_server((LOOPBACK, port), backlog=_BACKLOG)
        except OSError as error:
            why = why or (os.strerror(error.errno) if error.errno else str(error))
            continue
        listener.setblocking(False)
        got = listener.getsockname()[1]
        if forward.local and got != forward.local:
            on_status(f"local port {forward.local} cannot be used ({why}): taking {got}")
        return listener
    raise SmProxyError("unsupported", f"no local port can be opened: {why}")
