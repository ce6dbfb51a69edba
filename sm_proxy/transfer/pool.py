"""The connections of one copy, which stay open from one step to the next."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, TypeVar

import paramiko

from sm_proxy.errors import SmProxyError
from sm_proxy.transfer.engine import copy_failed
from sm_proxy.transfer.ssh.connection import Connection
from sm_proxy.transfer.ssh.connections import Connections

T = TypeVar("T")
_TRIES: Final = 5
"""How many connections may be lost while one question is asked."""


class Pool:
    """Hands out connections that are idle, and opens others.

    Args:
        connections: opens and closes them.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._all: list[Connection] = []
        self._has_begun = False
        self._compress: bool | None = None

    @property
    def most(self) -> int:
        """How many may be open at once."""
        return self._connections.most

    def first(self) -> Connection:
        """A connection: an idle one, or the very first.

        Raises:
            SmProxyError: as `Connections.first`.
        """
        if (found := self._taken()) is not None:
            return found
        if self._has_begun:
            return self._kept(self._connections.open(compress=bool(self._compress)))
        found = self._kept(self._connections.first(compress=self._compress))
        self._has_begun = True
        return found

    def prefer(self, compress: bool | None) -> None:
        """Whether `first` compresses from now on; None: as in the user's Host block.

        Idle connections that do otherwise are closed.
        """
        self._compress = compress
        with self._lock:
            others = [each for each in self._idle if each.compressed != compress]
            self._idle = [each for each in self._idle if each.compressed == compress]
        for each in others:
            each.close()

    def open(self, *, compress: bool) -> Connection:
        """A connection: an idle one, or one more.

        Raises:
            SmProxyError: as `Connections.open`.
        """
        return self._taken() or self._kept(self._connections.open(compress=compress))

    def release(self) -> None:
        """All that are left are idle: whoever used them has ended."""
        with self._lock:
            self._all = [each for each in self._all if each.alive]
            self._idle = list(self._all)

    def ask(self, question: Callable[[Connection], T]) -> T:
        """What the other side answers; over another connection if one is lost.

        Raises:
            SmProxyError: of the last connection; or the answer makes no sense.
            OSError: of `question`, about a file.
        """
        for left in reversed(range(_TRIES)):
            connection = self.first()
            try:
                return question(connection)
            except (EOFError, OSError, paramiko.SSHException, paramiko.SFTPError) as error:
                lost = connection.failure(error)
                if lost is None and isinstance(error, OSError):
                    raise
                connection.close()
                if lost is None:
                    raise copy_failed("the SFTP server", error) from None
                if not left:
                    raise lost from None
            finally:
                self.release()
        raise SmProxyError("session-lost", "every connection was lost")  # never reached

    def _taken(self) -> Connection | None:
        with self._lock:
            while self._idle:
                if (found := self._idle.pop(0)).alive:
                    return found
        return None

    def _kept(self, connection: Connection) -> Connection:
        with self._lock:
            self._all.append(connection)
        return connection
