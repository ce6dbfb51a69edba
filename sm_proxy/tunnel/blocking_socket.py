"""A stream as a blocking socket, so that paramiko can speak SSH through it."""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import threading
import time
import warnings
from collections.abc import Iterable
from typing import Any, Final

from sm_proxy.errors import SmProxyError
from sm_proxy.local import poll, threads
from sm_proxy.public_key import signature_algorithms
from sm_proxy.tunnel import lean_paramiko
from sm_proxy.tunnel.greeting import SILENCE_S, Greeting
from sm_proxy.tunnel.stream import Stream, finish, wanted

_TICK_S: Final = 0.2
_PEEK_S: Final = 0.05
_OPEN_S: Final = 32.0
_CHUNK: Final = 1 << 15


def import_paramiko(log: str = "paramiko") -> Any:
    """Import paramiko, which takes 70 ms of CPU time, and silence it.

    Its threads log tracebacks, which Python prints on stderr unless there is a handler. Its old
    releases use ciphers that new releases of cryptography warn about.

    Args:
        log: the name of the log to silence.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        paramiko = lean_paramiko.import_paramiko()
    silenced = logging.getLogger(log)
    silenced.propagate = False
    if not silenced.handlers:
        silenced.addHandler(logging.NullHandler())
    return paramiko


def prefer_kinds(transport: Any, keys: Iterable[str]) -> None:
    """Make paramiko's `transport` ask the server for a key of the type of one of `keys`.

    A server without such a key shows another one, as it does to ssh, and the caller sees that.
    """
    kinds = {key.split()[0] for key in keys}
    wanted = kinds.union(*map(signature_algorithms, kinds))
    options = transport.get_security_options()
    options.key_types = sorted(options.key_types, key=lambda name: name not in wanted)


class BlockingSocket:
    """Carries bytes between a route's stream and a socket in its own thread.

    Attributes:
        socket: the end for paramiko, in blocking mode.

    Raises:
        OSError: the system gives no more descriptors or threads; the stream is closed.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        with contextlib.ExitStack() as unless_it_starts:
            unless_it_starts.callback(stream.close)
            self.socket, self._near = socket.socketpair()
            for end in (self.socket, self._near):
                unless_it_starts.callback(end.close)
            self._start()
            unless_it_starts.pop_all()

    def _start(self) -> None:
        self._near.setblocking(False)
        self._opened = threading.Event()
        self._over = threading.Event()
        self._leave = threading.Event()
        self._farewell = True
        self._listening = True
        self._talking = True
        self._backlog = memoryview(b"")
        self._thread = threading.Thread(target=threads.inheriting(self._run), daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            raise OSError(errno.EAGAIN, str(error)) from None

    def wait_open(self) -> None:
        """Wait until bytes can flow.

        Raises:
            Exception: the stream's failure.
        """
        until = time.monotonic() + _OPEN_S
        while not self._opened.wait(_TICK_S) and not self._over.is_set():
            if time.monotonic() > until:
                raise SmProxyError("session-lost", "the data channel never opened", "Try again.")
        self.raise_failure()

    def await_greeting(self, where: str, look: str = "") -> str:
        """Wait for the greeting; its bytes stay in the socket for the next reader.

        Args:
            where: address and port, for the error message.
            look: where the user finds out more; empty for the job's log.

        Raises:
            Exception: the stream's failure.
            SmProxyError: `sshd-silent`; the message quotes the bytes that came instead.
        """
        until = time.monotonic() + SILENCE_S
        while True:
            over = self._over.is_set()  # checked first: all earlier bytes are in the socket then
            greeting = Greeting()
            greeting.feed(self._peek(min(_TICK_S, max(0.0, until - time.monotonic()))))
            greeting.ended = over
            if greeting.given:
                return greeting.version
            if greeting.impossible or over or time.monotonic() >= until:
                self.raise_failure()
                raise greeting.failure(where, self._stream.through, look)
            if greeting.text:  # the bytes seen already keep the socket readable
                self._over.wait(_PEEK_S)

    def _peek(self, seconds: float) -> bytes:
        if not poll.wait([self.socket.fileno()], [], [], seconds).readable:
            return b""
        try:
            return self.socket.recv(_CHUNK, socket.MSG_PEEK)
        except OSError:
            return b""

    def raise_failure(self) -> None:
        """Raise the stream's failure, if there is one."""
        if self._stream.failure is not None:
            raise self._stream.failure

    @property
    def delivered(self) -> bool:
        """Whether the far end has everything that was written to the socket."""
        if self._over.is_set():
            return True
        waiting = poll.wait([self._near.fileno()], [], [], 0).readable
        return not waiting and self._stream.delivered

    @property
    def failure(self) -> SmProxyError | None:
        """Why the stream has failed, if that was expected."""
        found = self._stream.failure
        return found if isinstance(found, SmProxyError) else None

    @property
    def over(self) -> bool:
        """Whether no more bytes pass."""
        return self._over.is_set()

    @property
    def closed(self) -> bool:
        """Whether the session has ended, too."""
        return not self._thread.is_alive()

    def let_go(self) -> None:
        """End the session soon, in the thread of this object; never blocks."""
        self._leave.set()

    def close(self, *, farewell: bool = True) -> None:
        """End the session and close everything.

        Args:
            farewell: whether to tell the far end first, and give it a second to confirm.
        """
        self._farewell = farewell
        self._leave.set()
        self._thread.join(5)
        self.socket.close()

    def _run(self) -> None:
        try:
            while not self._leave.is_set() and not (self._stream.ended and self._all_passed_on()):
                self._turn()
        finally:
            self._over.set()
            if self._farewell:
                with contextlib.suppress(Exception):
                    finish(self._stream)
            self._stream.close()
            self._near.close()

    def _turn(self) -> None:
        # Never block on one direction: paramiko may read no more until its own bytes are taken.
        stream, near = self._stream, self._near.fileno()
        now = time.monotonic()
        listening = self._listening and bool(stream.room)
        ended = stream.ended  # then it has no descriptor and a deadline in the past
        readers, writers = ([], []) if ended else wanted(stream)
        due = now + _TICK_S if ended else min(now + _TICK_S, stream.deadline(now))
        readers += [near] if listening else []
        writers += [near] if self._backlog else []
        ready = poll.wait(readers, writers, [], max(0.0, due - now)).readable
        stream.advance(time.monotonic(), readable=stream.fileno() in ready)
        if stream.opened:
            self._opened.set()
        self._all_passed_on()
        if listening and near in ready:
            with contextlib.suppress(OSError):
                self._take(self._near.recv(min(_CHUNK, stream.room)))

    def _all_passed_on(self) -> bool:
        """Pass on what has come; whether the socket has taken everything."""
        try:
            while self._backlog or self._refill():
                self._backlog = self._backlog[self._near.send(self._backlog) :]
        except BlockingIOError:
            return False
        except OSError:  # the other end is closed: what still comes is dropped
            self._talking, self._backlog = False, memoryview(b"")
        return True

    def _refill(self) -> bool:
        data = self._stream.read()
        self._backlog = memoryview(data if self._talking else b"")
        return bool(self._backlog)

    def _take(self, data: bytes) -> None:
        if not data:  # the other end is closed: the socket would stay readable for ever
            self._listening = False
            return
        self._stream.write(data)
        self._stream.advance(time.monotonic(), readable=False)
