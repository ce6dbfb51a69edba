"""A real `sftp-server` on a socket pair, with a folder as its home, and scripts beside it."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from sm_proxy.errors import SmProxyError
from sm_proxy.transfer.ssh.connection import Answer, Connection
from sm_proxy.transfer.ssh.sftp_client import SftpClient
from sm_proxy.transfer.ssh.ssh_process import SshProcess
from sm_proxy.transfer.ssh.wire import Wire
from tests.transfer import lab_tools


@dataclass
class Process:
    """What a connection wants of its ssh."""

    wire: Wire

    def lost_error(self) -> SmProxyError:
        return SmProxyError("session-lost", self.wire.lost)

    def close(self) -> None:
        self.wire.close()


def as_connection(end: socket.socket, number: int = 1) -> Connection:
    """A connection to the SFTP server at the other end of a socket."""
    process = Process(Wire(end))
    sftp = SftpClient(process.wire)
    return Connection(number, sftp, cast("SshProcess", process), compressed=False)


@contextlib.contextmanager
def connection(home: Path, number: int = 1) -> Iterator[Connection]:
    """A connection to an sftp-server whose home folder is `home`."""
    ours, theirs = socket.socketpair()
    with subprocess.Popen(
        [str(lab_tools.sftp_server())], cwd=home, stdin=theirs.fileno(), stdout=theirs.fileno()
    ) as server:
        theirs.close()
        one = as_connection(ours, number)
        try:
            yield one
        finally:
            one.close()
            server.wait(10)


class Scripts:
    """Runs scripts here as `Connections.script` does there.

    Args:
        home: the folder where they run.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.calls = 0

    def script(self, text: str, timeout: float) -> Answer:
        self.calls += 1
        done = subprocess.run(
            ["sh", "-s"],
            cwd=self.home,
            input=text.encode("utf-8", "surrogateescape"),
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        return Answer(done.returncode, done.stdout.decode("utf-8", "surrogateescape"))
