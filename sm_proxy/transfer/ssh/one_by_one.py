"""Run tasks over a connection without an SFTP server: one request after the other."""

from __future__ import annotations

import errno
import itertools
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, Protocol, TypeVar

from paramiko import sftp

from sm_proxy.errors import SmProxyError
from sm_proxy.transfer.ssh.connection import SftpLike
from sm_proxy.transfer.ssh.sftp_packets import Attributes, Reply, Request

T = TypeVar("T")


class Reachable(Protocol):
    """What tasks run over: a `Connection`, or a stand-in that only lists."""

    @property
    def sftp(self) -> SftpLike:
        """Its files."""

    def failure(self, error: Exception, /) -> SmProxyError | None:
        """Why it is lost, if it is; None if `error` is about a file."""


class OneByOne:
    """Runs tasks with the methods of `SftpLike`.

    Args:
        connection: which is idle.
    """

    def __init__(self, connection: Reachable) -> None:
        self._connection, self._sftp = connection, connection.sftp
        self._open: dict[bytes, Any] = {}
        self._handles = itertools.count()
        self._calls: dict[int, Callable[[Request], Reply]] = {
            sftp.CMD_OPEN: self._opened,
            sftp.CMD_CLOSE: self._closed,
            sftp.CMD_READ: self._read,
            sftp.CMD_WRITE: self._written,
            sftp.CMD_STAT: lambda request: _attributes(self._sftp.stat(request.path)),
            sftp.CMD_LSTAT: lambda request: _attributes(self._sftp.lstat(request.path)),
            sftp.CMD_FSTAT: lambda request: _attributes(self._open[request.handle].stat()),
            sftp.CMD_SETSTAT: self._set,
            sftp.CMD_OPENDIR: self._opened_folder,
            sftp.CMD_READDIR: self._next_names,
            sftp.CMD_REMOVE: lambda request: self._sftp.remove(request.path),
            sftp.CMD_MKDIR: lambda request: self._sftp.mkdir(
                request.path, request.attributes.mode or 0o777
            ),
            sftp.CMD_REALPATH: lambda request: [(self._sftp.normalize(request.path), Attributes())],
            sftp.CMD_EXTENDED: self._extended,
        }

    def run(
        self, tasks: Iterable[Generator[Sequence[Request], Sequence[Reply], T]]
    ) -> list[T | OSError]:
        """Run all tasks; the results are in their order. See `pipeline.Runner`."""
        return [self._result(task) for task in tasks]

    def _result(self, task: Generator[Sequence[Request], Sequence[Reply], T]) -> T | OSError:
        replies: list[Reply] = []
        try:
            while True:
                requests = task.send(replies or None)  # type: ignore[arg-type] # to start it
                replies = [self._reply(request) for request in requests]
        except StopIteration as end:
            result: T = end.value
            return result
        except OSError as error:
            return error
        finally:
            task.close()

    def _reply(self, request: Request) -> Reply:
        try:
            return self._calls[request.kind](request)
        except OSError as error:
            if self._connection.failure(error):
                raise EOFError("the connection is lost") from error
            if error.errno is None and not str(error):
                return OSError(errno.EIO, "Input/output error")
            return error

    def _new(self, what: Any) -> bytes:
        handle = f"{next(self._handles)}".encode()
        self._open[handle] = what
        return handle

    def _opened(self, request: Request) -> Reply:
        mode = "wx" if request.flags & sftp.SFTP_FLAG_WRITE else "r"
        return self._new(self._sftp.open(request.path, mode))

    def _opened_folder(self, request: Request) -> Reply:
        found = self._sftp.listdir_attr(request.path)
        return self._new([(one.filename, _attributes(one)) for one in found])

    def _next_names(self, request: Request) -> Reply:
        found = self._open[request.handle]
        self._open[request.handle] = []
        return found or b""

    def _closed(self, request: Request) -> None:
        what = self._open.pop(request.handle)
        if not isinstance(what, list):
            what.close()

    def _read(self, request: Request) -> Reply:
        file = self._open[request.handle]
        file.seek(request.offset)
        data: bytes = file.read(request.length)
        return data

    def _written(self, request: Request) -> None:
        file = self._open[request.handle]
        file.seek(request.offset)
        file.write(request.data)

    def _set(self, request: Request) -> None:
        path, new = request.path, request.attributes
        if new.mode is not None:
            self._sftp.chmod(path, new.mode)
        if new.modified is not None:
            self._sftp.utime(path, (new.accessed or new.modified, new.modified))

    def _extended(self, request: Request) -> None:
        if not request.other:
            raise OSError(errno.EOPNOTSUPP, "~user needs an SFTP server")
        self._sftp.posix_rename(request.path, request.other)


def _attributes(given: Any) -> Attributes:
    return Attributes(
        *(
            None if value is None else int(value)
            for value in (given.st_size, given.st_mode, given.st_atime, given.st_mtime)
        )
    )
