"""The TCP connection below a stream, for ssh itself: no byte of it goes through our process.

Once ssh has it, we cannot look at the host key any more. So a second connection reads the key
first. If it is not the expected one, or if the server does not answer as usual, the bytes stay with
us, and the checks around the stream tell the user what is wrong.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from typing import Final

from sm_proxy.local import poll
from sm_proxy.tunnel.host_key_probe import read_host_key
from sm_proxy.tunnel.socket_stream import socket_inside
from sm_proxy.tunnel.stream import Stream

_PROBE_S: Final = 2.0
_GREETING: Final = b"SSH-"
_GREETING_S: Final = 1.0
"""Another connection has just been greeted, so this one need not wait long."""


def checked_socket(
    stream: Stream, address: str, port: int, types: Iterable[str], accepts: Callable[[bytes], bool]
) -> socket.socket | None:
    """The socket below `stream`, if the server shows an expected host key. Blocks for two seconds.

    Args:
        stream: to the server; nothing has been read from it.
        address: of the server.
        port: of the server.
        types: of the expected host keys, such as `ssh-ed25519`.
        accepts: whether a key in wire form is expected.

    Returns:
        A connected socket from which the greeting can be read; None if the bytes must be checked.
    """
    inside = socket_inside(stream)
    if inside is None:
        return None
    seen = inside.host_key or read_host_key(address, port, types, _PROBE_S)
    if seen is None or not accepts(seen):
        return None
    found = inside.unused_socket()
    return found if found is not None and _greets(found) else None


def _greets(connection: socket.socket) -> bool:
    """Whether the greeting comes: a refusal of sshd is for our own error message."""
    poll.wait([connection.fileno()], [], [], _GREETING_S)
    try:
        return connection.recv(len(_GREETING), socket.MSG_PEEK) == _GREETING
    except OSError:
        return False
