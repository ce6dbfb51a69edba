"""What the daemon's processes tell it: short messages, on one socket for all.

Only processes that the daemon has started have this socket. Each message is a datagram, so that two
of them cannot mix.
"""

from __future__ import annotations

import json
import socket
from typing import Any, Final

LIMIT: Final = 2048
"""Bytes of a message: macOS takes no longer datagram."""
_SEND_S: Final = 1.0


class Inbox:
    """Both ends of the socket.

    Args:
        writer: the end of the daemon's processes, in one that is no fork of it; else both are made.
    """

    def __init__(self, writer: socket.socket | None = None) -> None:
        self._reader, own = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._reader.setblocking(False)
        self.writer = writer or own

    def fileno(self) -> int:
        """The daemon waits for it to be readable."""
        return self._reader.fileno()

    def tell(self, message: dict[str, Any]) -> None:
        """Send a JSON object to the daemon.

        Raises:
            OSError: the daemon has gone, or does not read.
        """
        self.writer.settimeout(_SEND_S)
        self.writer.send(json.dumps(message).encode())

    def receive(self) -> dict[str, Any] | None:
        """The next message; None if there is none now."""
        try:
            message = json.loads(self._reader.recv(LIMIT))
        except OSError:
            return None
        except ValueError:  # it was too long
            return {}
        return message if isinstance(message, dict) else {}
