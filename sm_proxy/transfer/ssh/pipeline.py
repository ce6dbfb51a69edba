"""Run many small tasks over one SFTP connection, with their requests in flight together.

paramiko waits for the reply to each open, stat, mkdir and rename: over a link of 50 ms, a thousand
files would take minutes. `Pipeline` writes its own packets to the channel of a paramiko client that
is idle (`SFTPClient.get_channel` is public), and leaves it idle.

A task is a generator that yields lists of requests and gets their replies:

    (handle,) = yield [opened(path)]
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar

import paramiko
from paramiko.ssh_exception import SSHException

from sm_proxy.transfer.ssh import sftp_packets
from sm_proxy.transfer.ssh.one_by_one import OneByOne, Reachable
from sm_proxy.transfer.ssh.sftp_packets import Attributes, Names, Reply, Request

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Task: TypeAlias = Generator[Sequence[Request], Sequence[Reply], T]

_IN_FLIGHT: Final = 48
"""Requests. A file takes three round trips: of files of 4 KiB, a session's 0.7 MB/s fit into 70 ms.
More would be more that one connection still has to do when the others have nothing left."""
_LOW: Final = 24
"""Requests go out together once so few are left: their replies then come together, too. The agent
carries at most 1 KiB at a time, and pauses after each piece, however small."""
_FIRST_NUMBER: Final = 0x8000_0000
"""paramiko counts from 1, so that each knows its own replies."""


class Runner(Protocol):
    """Runs tasks. The result of each is what it returns, or the `OSError` that it raises."""

    def run(self, tasks: Iterable[Task[T]]) -> list[T | OSError]:
        """Run all tasks; the results are in their order.

        Raises:
            EOFError, OSError, SSHException: the connection is lost.
        """


def runner(connection: Reachable) -> Runner:
    """What runs tasks over a connection: together, if it leads to an SFTP server."""
    if isinstance(connection.sftp, paramiko.SFTPClient):
        return Pipeline(connection.sftp.get_channel())
    return OneByOne(connection)


@dataclass
class _Running(Generic[T]):
    task: Task[T]
    place: int
    replies: list[Any]
    missing: int = 0


class Pipeline:
    """Runs tasks together over a channel.

    Args:
        channel: has `send` and `recv`; no reply is on its way.
    """

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._number = _FIRST_NUMBER
        self._out = bytearray()
        self._kept_back = 0
        self._asked: dict[int, tuple[_Running[Any], int]] = {}

    def run(self, tasks: Iterable[Task[T]]) -> list[T | OSError]:
        """As `Runner.run`."""
        results: dict[int, T | OSError] = {}
        running: dict[int, _Running[T]] = {}
        waiting = enumerate(tasks)
        try:
            while True:
                while len(self._asked) < _IN_FLIGHT and (new := next(waiting, None)):
                    running[new[0]] = one = _Running(new[1], new[0], [])
                    self._step(one, running, results)
                if not self._asked:
                    return [results[place] for place in sorted(results)]
                if len(self._asked) - self._kept_back <= _LOW:
                    self._flush()
                one = self._receive()
                if not one.missing:
                    self._step(one, running, results)
        finally:
            for one in running.values():  # the connection is lost: their files are closed
                one.task.close()

    def _step(
        self, one: _Running[T], running: dict[int, _Running[T]], results: dict[int, T | OSError]
    ) -> None:
        """Let a task go on until it waits for a reply or ends."""
        while not one.missing:
            try:
                requests = one.task.send(one.replies or None)  # type: ignore[arg-type] # to start
            except StopIteration as end:
                results[one.place] = end.value
            except OSError as error:
                results[one.place] = error
            else:
                self._ask(one, requests)
                continue
            del running[one.place]
            return

    def _ask(self, one: _Running[Any], requests: Sequence[Request]) -> None:
        one.replies, one.missing = [None] * len(requests), len(requests)
        for index, request in enumerate(requests):
            self._number = max(_FIRST_NUMBER, (self._number + 1) & 0xFFFF_FFFF)
            self._asked[self._number] = (one, index)
            self._kept_back += 1
            self._out += sftp_packets.encode(request, self._number)

    def _flush(self) -> None:
        self._kept_back = 0
        while self._out:
            del self._out[: self._channel.send(bytes(self._out))]

    def _receive(self) -> _Running[Any]:
        """Take the next reply to one of ours; return whose it is."""
        while True:
            length = int.from_bytes(self._read(4), "big")
            if not 5 <= length <= sftp_packets.LARGEST:
                raise SSHException(f"the SFTP server sent a packet of {length} bytes")
            number, reply = sftp_packets.decode(self._read(length))
            if asked := self._asked.pop(number, None):
                one, index = asked
                one.replies[index] = reply
                one.missing -= 1
                return one

    def _read(self, length: int) -> bytes:
        parts, missing = [], length
        while missing:
            part = self._channel.recv(missing)
            if not part:
                raise EOFError("the SFTP server has closed the connection")
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)


def data(reply: Reply) -> bytes:
    """A handle, or the data of a read: empty at the end of the file.

    Raises:
        OSError: the reply is a failure, or of another kind. So do the next three.
    """
    return _of_type(reply, bytes)


def attributes(reply: Reply) -> Attributes:
    """The attributes of a file."""
    return _of_type(reply, Attributes)


def names(reply: Reply) -> Names:
    """The next names of a folder; empty at its end."""
    return [] if reply == b"" else _of_type(reply, list)


def done(reply: Reply) -> None:
    """Nothing: it was done."""
    _of_type(reply, type(None))


def _of_type(reply: Any, kind: type[T]) -> T:
    if isinstance(reply, OSError):
        raise reply
    if not isinstance(reply, kind):
        raise OSError("the SFTP server sent another reply than was asked for")
    return reply
