"""A connection that is left to its keeper: the keeper's data of it, for the report of its end.

Its child asks once the connection is up. Both then agree on the last byte of each:

    child                                       keeper
    settle, with three descriptors   ->
                                     <-         agrees
    stops to read ssh; the end of
    its bytes                        ->         has all bytes from ssh
                                     <-         final; the end of its bytes
    ssh has them all; done           ->         goes on with ssh's socket

Until `done`, the connection ends with its child.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sm_proxy.daemon import endings
from sm_proxy.daemon.endings import Ending
from sm_proxy.daemon.handover import folder
from sm_proxy.errors import SmProxyError
from sm_proxy.local.poll import Ready
from sm_proxy.routes.ssm_session import Words
from sm_proxy.state.connection_log import ConnectionRecord

_NAMES: Final = frozenset({"HOME", "LANG", "TZ"})
_PREFIXES: Final = ("LC_", "SM_PROXY_", "XDG_")
"""Of variables that say where records are, and how they are written; keys are not needed."""


def message(connection: dict[str, Any]) -> dict[str, Any]:
    """What a child tells the keeper that takes over its connection.

    Args:
        connection: `record`, `began`, `hints`, `target` and `failures` of a `Settled`.
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        if name in _NAMES or name.startswith(_PREFIXES)
    }
    own = {"environment": environment, "folder": folder(), "arguments": sys.argv}
    return {"settle": {**connection, **own}}


@dataclass(repr=False)
class Settled:
    """A connection without a process of its own.

    Attributes:
        ssh: the socket to ssh.
        stderr: of the connection.
        opener: readable once `stderr` must be closed: see `PassingStdio.for_another`.
        record: for the connection's log.
        began: when it began, in Unix seconds.
        target: of the session.
        failures: of the `Words` of its route.
        environment: the part that says where records are.
        folder: in which it was started.
        arguments: its command line.
        hints: whether to tell the user about `cp` in a long transfer.
    """

    ssh: socket.socket
    stderr: int
    opener: int
    record: ConnectionRecord
    began: float
    target: str
    failures: dict[Any, tuple[Any, str]]
    environment: dict[str, str]
    folder: str
    arguments: list[str]
    hints: bool = False
    _opener_lives: bool = True

    @classmethod
    def of(cls, told: dict[str, Any], descriptors: Sequence[int]) -> Settled:
        """The one of a `settle` message.

        Raises:
            ValueError: this process is out of descriptors.
        """
        try:
            ssh, stderr, opener = descriptors
        except ValueError:
            for descriptor in descriptors:
                os.close(descriptor)
            raise
        given = {**told, "record": ConnectionRecord(**told["record"])}
        return cls(socket.socket(fileno=ssh), stderr, opener, **given)

    def filenos(self) -> list[int]:
        """What to wait for besides the bytes."""
        return [self.opener] if self._opener_lives else []

    def hear(self, ready: Ready) -> None:
        """Let go of stderr if that is due."""
        if self._opener_lives and self.opener in ready.readable:
            self._opener_lives = False
            with contextlib.suppress(OSError):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, self.stderr)
                os.close(null)

    def failure(self, ending: Ending) -> SmProxyError | None:
        """The failure in the words of the connection's route."""
        return endings.understood(ending, Words(failures=self.failures), self.target)

    def close(self) -> None:
        """Close the descriptors."""
        self.ssh.close()
        for descriptor in (self.stderr, self.opener):
            with contextlib.suppress(OSError):
                os.close(descriptor)
