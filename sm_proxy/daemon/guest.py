"""One connection at a keeper: its stream in the session, and its two sockets.

The bytes have a socket of their own, so each side copies them without looking at them. Messages go
beside them:

    start, wait, open, failed, refused, resolve
                                         how the connection gets its stream (`state`)
    opened                               bytes can flow
    status                               a line for the user
    delivered                            the far end has so many bytes
    end                                  why it has ended; comes before the end of the bytes
    agrees, final                        how it is left to the keeper: see `settled.py`
"""

from __future__ import annotations

import contextlib
import socket
import time
from typing import Any, Final

from sm_proxy.daemon import endings
from sm_proxy.daemon.lines import Lines
from sm_proxy.daemon.partings import Parting, Transfer
from sm_proxy.daemon.settled import Settled
from sm_proxy.local.poll import Ready
from sm_proxy.ssm.shared import SessionStream
from sm_proxy.tunnel.pump import Bulk

_CHUNK: Final = 1 << 16
_OF_THE_STREAM: Final = frozenset({"written", "last", "settle", "done"})


class Guest:
    """A connection that has, or waits for, a stream of the session.

    Args:
        messages: its socket for messages.
        data: its socket for the bytes.
        sure: whether it has found out whose keys it has.

    Attributes:
        sure: as given.
        lines: the messages.
        stream: in the session; None while it waits.
        over: whether its sockets are closed.
        needs_stream: whether it still waits for a stream.
        is_last: whether it asks the keeper to take no more connections.
        moved: how many bytes have gone either way.
        settled: what is known about it, once it has no process of its own.
        parting: what is left to be done at the end of such a connection.
        transfer: a long transfer of such a connection, of which its user is to be told.
    """

    def __init__(self, messages: socket.socket, data: socket.socket, *, sure: bool = False) -> None:
        self.sure = sure
        self.lines = Lines(messages)
        self.stream: SessionStream | None = None
        self.over = False
        self.needs_stream = True
        self.is_last = False
        self.moved = 0
        self.settled: Settled | None = None
        self.parting: Parting | None = None
        self.transfer: Transfer | None = None
        self._bulk = Bulk()
        self._settling: Settled | None = None
        self._told_final = False
        self._data = data
        self._data.setblocking(False)
        self._backlog = memoryview(b"")
        self._told_opened = False
        self._talking = True
        self._up = 0
        self._asked = -1

    def send(self, **message: Any) -> None:
        """Send it a message. A connection that does not read its messages is over."""
        if self.settled is not None:  # its reader has gone
            return
        try:
            self.lines.send(message)
        except OSError:
            self._hear_last_words()
            if self.settled is None:
                self.leave()

    def begin(self, stream: SessionStream) -> None:
        """Give it a stream."""
        self.stream = stream
        self.needs_stream = False

    def wanted(self) -> tuple[list[int], list[int], list[int]]:
        """The descriptors to wait for, as three lists: readable, writable, hung up."""
        settled, data = self.settled, [self._data.fileno()]
        readers = [self.lines.fileno()] if settled is None else settled.filenos()
        if self.stream is None:
            return readers, [], []
        listens = bool(self._talking and self.stream.room)
        readers += data if listens else []
        return readers, data if self._backlog else [], data if settled and not listens else []

    def hear(self, ready: Ready) -> list[dict[str, Any]]:
        """Take what comes from it; returns messages that are not about the stream."""
        rest = []
        stream = self.stream
        if self.settled is not None:
            self.settled.hear(ready)
            if stream is not None and self._data.fileno() in ready.hung_up:
                self._ssh_has_gone(stream)
        elif self.lines.fileno() in ready.readable:
            rest = [message for message in self.lines.received() if not self._understands(message)]
            if self.lines.ended and self.settled is None:
                self.leave()  # ssh or its helper has gone: the rest is not needed
        if stream is not None and not self.over and self._data.fileno() in ready.readable:
            self._carry_up(stream)
        return rest

    def give(self) -> None:
        """Pass on what has come from the far end, and report what has changed."""
        stream = self.stream
        if stream is None or self.over:
            return
        if not self._told_opened and stream.opened:
            self._told_opened = True
            self.send(opened=True)
        if self._asked == self._up and stream.delivered:
            self.send(delivered=self._asked)
            self._asked = -1
        self._carry_down(stream)
        self._look_for_transfer()
        if self._holds and not (self._backlog or self._told_final):
            self._told_final = True
            self.send(final=True)
            with contextlib.suppress(OSError):
                self._data.shutdown(socket.SHUT_WR)
        done = stream.ended or (not self._talking and stream.finished)
        if done and not (self._holds or self._backlog or self.over):
            self.end(stream.failure, stream.suspicion)

    def _look_for_transfer(self) -> None:
        settled = self.settled
        if settled is None or not settled.hints:
            return
        if rate := self._bulk.rate(time.monotonic(), self._up, self.moved - self._up):
            self.transfer = Transfer(settled, rate)

    def end(self, error: Exception | None, suspicion: Exception | None = None) -> None:
        """Tell why its stream is over, and let it go."""
        if self._settling is not None and self.settled is None:
            self._hear_last_words()
        resumes = 0 if self.stream is None else self.stream.resumes
        end = {"failure": endings.to_message(error), "suspicion": endings.to_message(suspicion)}
        self.send(end=end, resumes=resumes)
        if self.settled is not None:
            self._part(self.settled, error or suspicion)
        self.leave()

    def leave(self) -> None:
        """End its stream, and close its sockets."""
        if self.over:
            return
        self.over = True
        if self.stream is not None:
            if self._holds:  # its child has sent all that ssh had to say
                self.stream.finish()
            self.stream.close()
        self.lines.close()
        if self.settled is None:  # else the socket is ssh's, which must hear why first
            self._data.close()
            if self._settling is not None:
                self._settling.close()

    def _hear_last_words(self) -> None:
        """Its child may have just gone, and have left the connection to us."""
        for message in self.lines.received():
            self._understands(message)

    def _understands(self, message: dict[str, Any]) -> bool:
        self._asked = message.get("written", self._asked)
        self.is_last = self.is_last or "last" in message
        if "settle" in message:
            self._begin_to_settle(message["settle"])
        if "done" in message and self._holds and self._settling is not None:
            self._settle(self._settling)
        return not message.keys().isdisjoint(_OF_THE_STREAM)

    def _begin_to_settle(self, told: dict[str, Any]) -> None:
        with contextlib.suppress(OSError, ValueError):  # no descriptor is left, for example
            self._settling = Settled.of(told, self.lines.take_descriptors())
        self.send(agrees=self._settling is not None)

    @property
    def _holds(self) -> bool:
        """Whether nothing goes either way until the child has said that it is done."""
        return self._settling is not None and self.settled is None and not self._talking

    def _settle(self, settled: Settled) -> None:
        """Go on with ssh itself: its child has gone."""
        self.lines.close()
        self._data.close()
        self._data = settled.ssh
        self._data.setblocking(False)
        self._talking = True
        self.settled = settled

    def _ssh_has_gone(self, stream: SessionStream) -> None:
        """The far end still gets what ssh has sent."""
        if self.settled is None:
            self.leave()
        else:
            with contextlib.suppress(BlockingIOError):
                while self._take_up(stream):  # ends when the stream has no room
                    pass
            stream.finish()
            self._part(self.settled, None)

    def _part(self, settled: Settled, error: Exception | None) -> None:
        resumes = 0 if self.stream is None else self.stream.resumes
        up, down = self._up, self.moved - self._up
        self.parting = Parting(settled, endings.to_message(error), up, down, resumes)
        self.leave()

    def _carry_up(self, stream: SessionStream) -> None:
        if not (self._talking and stream.room):
            return
        try:
            if self._take_up(stream):
                return
        except BlockingIOError:
            return
        if self.settled is not None:
            self._ssh_has_gone(stream)
        else:
            self._talking = False
            if self._settling is None:
                stream.finish()

    def _take_up(self, stream: SessionStream) -> bool:
        """Carry bytes from ssh, as many as there is room for; returns whether there were any.

        Raises:
            BlockingIOError: none have come.
        """
        try:
            data = self._data.recv(min(_CHUNK, stream.room))
        except BlockingIOError:
            raise
        except OSError:
            data = b""
        if data:
            stream.write(data)
            self._up += len(data)
            self.moved += len(data)
        return bool(data)

    def _carry_down(self, stream: SessionStream) -> None:
        try:
            while self._backlog or (not self._holds and self._refill(stream)):
                sent = self._data.send(self._backlog)
                self._backlog = self._backlog[sent:]
                self.moved += sent
        except BlockingIOError:
            return
        except OSError:
            self._ssh_has_gone(stream)

    def _refill(self, stream: SessionStream) -> bool:
        self._backlog = memoryview(stream.read())
        return bool(self._backlog)
