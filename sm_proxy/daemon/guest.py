"""One connection at a keeper: its stream in the session, and its two sockets.

The bytes have a socket of their own, so each side copies them without looking at them. Messages go
beside them:

    start, wait, open, failed, refused   how the connection gets its stream (`state`)
    opened                               bytes can flow
    status                               a line for the user
    delivered                            the far end has so many bytes
    end                                  why it has ended; comes before the end of the bytes
"""

from __future__ import annotations

import socket
from typing import Any, Final

from sm_proxy.daemon import endings
from sm_proxy.daemon.lines import Lines
from sm_proxy.local.poll import Ready
from sm_proxy.ssm.shared import SessionStream

_CHUNK: Final = 1 << 16


class Guest:
    """A connection that has, or waits for, a stream of the session.

    Args:
        messages: its socket for messages.
        data: its socket for the bytes.

    Attributes:
        lines: the messages.
        stream: in the session; None while it waits.
        over: whether its sockets are closed.
        needs_stream: whether it still waits for a stream.
        is_last: whether it asks the keeper to take no more connections.
        moved: how many bytes have gone either way.
    """

    def __init__(self, messages: socket.socket, data: socket.socket) -> None:
        self.lines = Lines(messages)
        self.stream: SessionStream | None = None
        self.over = False
        self.needs_stream = True
        self.is_last = False
        self.moved = 0
        self._data = data
        self._data.setblocking(False)
        self._backlog = memoryview(b"")
        self._told_opened = False
        self._talking = True
        self._up = 0
        self._asked = -1

    def tell(self, **message: Any) -> None:
        """Send it a message. A connection that does not read its messages is over."""
        try:
            self.lines.send(message)
        except OSError:
            self.leave()

    def begin(self, stream: SessionStream) -> None:
        """Give it a stream."""
        self.stream = stream
        self.needs_stream = False

    def wanted(self) -> tuple[list[int], list[int]]:
        """The descriptors to wait for, as two lists: readable, writable."""
        readers, writers = [self.lines.fileno()], []
        if self.stream is not None:
            readers += [self._data.fileno()] if self._talking and self.stream.room else []
            writers += [self._data.fileno()] if self._backlog else []
        return readers, writers

    def hear(self, ready: Ready) -> list[dict[str, Any]]:
        """Take what comes from it; returns messages that are not about the stream."""
        rest = []
        if self.lines.fileno() in ready.readable:
            rest = [message for message in self.lines.received() if not self._understands(message)]
            if self.lines.ended:  # ssh or its helper has gone: nobody needs the rest
                self.leave()
        stream = self.stream
        if stream is not None and not self.over and self._data.fileno() in ready.readable:
            self._carry_up(stream)
        return rest

    def give(self) -> None:
        """Give it what has come from the far end, and tell it what has changed."""
        stream = self.stream
        if stream is None or self.over:
            return
        if not self._told_opened and stream.opened:
            self._told_opened = True
            self.tell(opened=True)
        self._carry_down(stream)
        if self._asked == self._up and stream.delivered:
            self.tell(delivered=self._asked)
            self._asked = -1
        done = stream.ended or (not self._talking and stream.finished)
        if done and not self._backlog and not self.over:
            self.end(stream.failure, stream.suspicion)

    def end(self, error: Exception | None, suspicion: Exception | None = None) -> None:
        """Tell why its stream is over, and let it go."""
        resumes = 0 if self.stream is None else self.stream.resumes
        end = {"failure": endings.told(error), "suspicion": endings.told(suspicion)}
        self.tell(end=end, resumes=resumes)
        self.leave()

    def leave(self) -> None:
        """End its stream, and close its sockets."""
        if self.over:
            return
        self.over = True
        if self.stream is not None:
            self.stream.close()
        self.lines.close()
        self._data.close()

    def _understands(self, message: dict[str, Any]) -> bool:
        self._asked = message.get("written", self._asked)
        self.is_last = self.is_last or "last" in message
        return "written" in message or "last" in message

    def _carry_up(self, stream: SessionStream) -> None:
        if not (self._talking and stream.room):
            return
        try:
            data = self._data.recv(min(_CHUNK, stream.room))
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            stream.write(data)
            self._up += len(data)
            self.moved += len(data)
        else:
            self._talking = False
            stream.finish()

    def _carry_down(self, stream: SessionStream) -> None:
        try:
            while self._backlog or self._refill(stream):
                sent = self._data.send(self._backlog)
                self._backlog = self._backlog[sent:]
                self.moved += sent
        except BlockingIOError:
            return
        except OSError:
            self.leave()

    def _refill(self, stream: SessionStream) -> bool:
        self._backlog = memoryview(stream.read())
        return bool(self._backlog)
