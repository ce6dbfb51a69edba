"""Short messages from the daemon's processes to the daemon, on one socket for all.

Only processes that the daemon has started have this socket. Each message is a datagram, so that two
of them cannot mix. Descriptors may come with it.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from typing import Any, Final

from sm_proxy.daemon import wire

LIMIT: Final = 2048
"""Bytes of a message: macOS takes no longer datagram."""
_SOCKETS: Final = 2
"""How many sockets may come with a message."""
_SEND_S: Final = 1.0


class Sender:
    """The end of the daemon's processes.

    Args:
        end: the socket.
    """

    def __init__(self, end: socket.socket) -> None:
        self.socket = end

    def fileno(self) -> int:
        """The descriptor that a process needs to use it."""
        return self.socket.fileno()

    def send(self, message: dict[str, Any], sockets: Sequence[socket.socket] = ()) -> None:
        """Send a JSON object to the daemon, with sockets for it.

        Raises:
            OSError: the daemon has gone, or does not read.
        """
        self.socket.settimeout(_SEND_S)
        data = json.dumps(message).encode()
        wire.send_with(self.socket, data, [each.fileno() for each in sockets])


class Inbox:
    """The end of the daemon.

    Attributes:
        sender: the other end.
    """

    def __init__(self) -> None:
        self._reader, end = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._reader.setblocking(False)
        self.sender = Sender(end)

    def fileno(self) -> int:
        """The daemon waits for it to be readable."""
        return self._reader.fileno()

    def receive(self) -> tuple[dict[str, Any], list[socket.socket]] | None:
        """The next message, and the sockets that came with it; None if there is none now.

        The sockets belong to the caller, who closes them.
        """
        try:
            data, found, _ = wire.receive_with(self._reader, LIMIT, _SOCKETS)
        except OSError:
            return None
        sockets = [socket.socket(fileno=number) for number in found]
        try:
            message = json.loads(data)
        except ValueError:  # it was too long
            message = {}
        return (message if isinstance(message, dict) else {}), sockets

    def close(self) -> None:
        """Close the daemon's end: later senders get an error."""
        self._reader.close()
