"""A websocket whose binary frames are the bytes of a TCP connection, as a `Stream`.

Such a tunnel has no acknowledgements, no resumption and no half-close: `finish` delivers what was
written, then says goodbye, and what still comes is dropped by the caller. We ping, so that no
firewall forgets an idle tunnel, but we do not ask for the answers: ssh itself notices a dead one
(ServerAliveInterval).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from sm_proxy.errors import SmProxyError
from sm_proxy.ssm.transport import DisconnectedError, WebSocket

FRAME_BYTES: Final = 65_000
"""The longest frame that the AWS CLI sends (C: ec2instanceconnect/websocket.py)."""
_UNSENT_LIMIT: Final = 1 << 18
_PING_S: Final = 20.0
_NORMAL: Final = 1000
"""The close code of a tunnel whose far end has ended the connection."""

Explain = Callable[[str, bool], SmProxyError]
"""Makes the error for an end that is not clean, from its reason and from whether bytes came."""


class WebSocketStream:
    """A `Stream` over an open websocket.

    Args:
        websocket: it belongs to this stream.
        through: names what the bytes pass through.
        explain: makes the error for an end that is not clean.
    """

    opened = True
    session_id = ""
    resumes = 0
    suspicion: Exception | None = None
    """None: the close code tells a clean end."""

    def __init__(self, websocket: WebSocket, through: str, explain: Explain) -> None:
        self.through = through
        self.failure: Exception | None = None
        self.ended = False
        self._websocket = websocket
        self._explain = explain
        self._in = b""
        self._answered = False
        self._finishing = False
        self._deaf = False  # the far end takes nothing any more
        self._ping_at = -math.inf

    @property
    def delivered(self) -> bool:
        """Whether the kernel has everything that was written."""
        return not self._websocket.unsent

    @property
    def finished(self) -> bool:
        """Whether both ends know that it is over."""
        return self.ended

    @property
    def room(self) -> int:
        """How many bytes `write` takes now."""
        if self.ended or self._finishing or self._deaf:
            return 0
        return max(0, _UNSENT_LIMIT - self._websocket.unsent_bytes)

    @property
    def wants_read(self) -> bool:
        """Whether to wait for the descriptor to be readable: not while bytes wait to be read."""
        return not self._in and not self.ended

    @property
    def wants_write(self) -> bool:
        """Whether to wait for the descriptor to be writable."""
        return self._websocket.unsent and not self.ended and not self._deaf

    def fileno(self) -> int:
        """The descriptor to wait for; -1 after the end."""
        return -1 if self.ended else self._websocket.fileno()

    def deadline(self, now: float) -> float:
        """When to call `advance` at the latest: for what has arrived, and for the next ping."""
        if self.ended or (self.wants_read and self._websocket.readable_now):
            return now
        return max(now, self._ping_at)

    def advance(self, now: float, *, readable: bool) -> None:
        """Send what waits, and take what has come."""
        if self.ended:
            return
        try:
            if self.wants_read and (readable or self._websocket.readable_now):
                self._receive()
        except DisconnectedError as error:
            self._end(str(error))
        else:
            self._send(now)

    def read(self) -> bytes:
        """The bytes that have come."""
        data, self._in = self._in, b""
        return data

    def write(self, data: bytes) -> None:
        """Take bytes; they are sent at once if the kernel takes them."""
        view = memoryview(data)
        frames = [bytes(view[at : at + FRAME_BYTES]) for at in range(0, len(view), FRAME_BYTES)]
        try:
            self._websocket.send_frames(frames)
            self._websocket.flush()
        except DisconnectedError:
            self._deaf = True

    def finish(self) -> None:
        """Deliver what was written, then end."""
        self._finishing = True
        try:
            self._websocket.say_goodbye()
            self._websocket.flush()
        except DisconnectedError:
            self._deaf = True

    def close(self) -> None:
        """Close the websocket."""
        self.ended = True
        self._websocket.close()

    def _send(self, now: float) -> None:
        """Write what waits. If that fails, the far end may have told why: it is read first."""
        try:
            if now >= self._ping_at and not self._finishing:
                self._ping_at = now + _PING_S
                self._websocket.ping()
            self._websocket.flush()
        except DisconnectedError:
            self._deaf = True

    def _receive(self) -> None:
        self._in = b"".join(self._websocket.receive())
        self._answered = self._answered or bool(self._in)

    def _end(self, words: str) -> None:
        self.ended = True
        code, reason = self._websocket.farewell or (None, "")
        if code != _NORMAL and not self._finishing:
            self.failure = self._explain(reason or words, self._answered)
