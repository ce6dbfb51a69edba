"""A container's sshd for tests: real ssh, real sshd, no AWS and no listening port.

`sshd -i` serves one connection on its stdin, which is one end of a socket pair. A stand-in of the
dialler gives the other end as a stream.
"""

from __future__ import annotations

import getpass
import itertools
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.identity import identities
from sm_proxy.jobs.container import Container
from sm_proxy.settings import Settings
from sm_proxy.transfer.ssh import connections
from sm_proxy.transfer.ssh.connections import Connections
from sm_proxy.tunnel.socket_stream import SocketStream
from sm_proxy.tunnel.stream import Stream, StreamWrapper
from tests.fakes import container
from tests.transfer import lab_tools

HOST = "sm-copied"
_CONFIG = """
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
StrictModes no
UsePAM no
PidFile none
{subsystem}
"""

_AS_ROOT = """
mount -t tmpfs none /run && mkdir -m 755 /run/sshd && cp /etc/passwd "$1" || exit 1
grep -q ^sshd: "$1" || echo "sshd:x:74:65534::/run/sshd:/usr/sbin/nologin" >>"$1"
mount --bind "$1" /etc/passwd && shift && exec "$@"
"""
"""As root, sshd wants a user of its own and a folder in /run, which this machine need not have."""


class SessionStream(StreamWrapper):
    """A stream that says it is a session, and counts how many are open."""

    def __init__(self, stream: Stream, server: Server) -> None:
        super().__init__(stream)
        self._server = server
        server.opened += 1
        server.open += 1
        self._is_open = True

    @property
    def session_id(self) -> str:
        return "session-1"

    @property
    def through(self) -> str:
        return "bastion i-0abc"

    def close(self) -> None:
        self._stream.close()
        if self._is_open:
            self._is_open = False
            self._server.open -= 1


@dataclass
class Server:
    """The container; its files are those of this machine.

    Attributes:
        folder: for its keys, and for ours.
        settings: with which ssh logs in.
        found: the container, as the dialler finds it.
        errors: dialling raises these, one after the other, before it succeeds.
        wrap: changes each new stream.
        opened: how many sessions have been opened.
        open: how many are open.
        ends: our end of each connection, to cut it.
    """

    folder: Path
    settings: Settings
    found: Container
    errors: list[SmProxyError] = field(default_factory=list)
    wrap: Callable[[Stream], Stream] = lambda stream: stream
    opened: int = 0
    open: int = 0
    ends: list[socket.socket] = field(default_factory=list)
    made: list[Connections] = field(default_factory=list)
    children: list[subprocess.Popen[bytes]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def configure(self, subsystem: str = "Subsystem sftp internal-sftp") -> None:
        text = _CONFIG.format(folder=self.folder, subsystem=subsystem)
        (self.folder / "sshd_config").write_text(text)
        (self.folder / "as_root.sh").write_text(_AS_ROOT)

    def connections(self, **options: Any) -> Connections:
        aws: Any = SimpleNamespace(scope="here")
        made = Connections(HOST, self.settings, aws, **options)
        self.made.append(made)
        return made

    def words(self) -> list[str]:
        """The command of an sshd for one connection."""
        words = [lab_tools.sshd(), "-i", "-e", "-f", str(self.folder / "sshd_config")]
        if os.geteuid() != 0:
            return words
        script = self.folder / "as_root.sh"
        passwd = self.folder / f"passwd-{next(self.numbers)}"
        return ["unshare", "-m", "sh", str(script), str(passwd), *words]

    def dial(self) -> Stream:
        near, far = socket.socketpair()
        fd = far.fileno()
        words = self.words()
        with far, self.lock:
            if self.errors:
                near.close()
                raise self.errors.pop(0)
            self.children.append(
                subprocess.Popen(words, stdin=fd, stdout=fd, stderr=subprocess.DEVNULL)
            )
            self.ends.append(near)
            return self.wrap(SessionStream(SocketStream(near, "the container"), self))

    def cut(self) -> None:
        """Cut all connections."""
        for end in self.ends:
            with self.lock:
                if end.fileno() >= 0:
                    end.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """Close what a test that failed has left open."""
        for made in self.made:
            made.close()
        for child in self.children:
            child.kill()
            child.wait()


class _Dialler:
    """In the place of `Dialler`."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.container: Container | None = None

    def find(self) -> Container:
        self.container = self._server.found
        return self.container

    def open_stream(self, found: Container) -> Stream:
        self.container = replace(self._server.found, cached=found.cached)
        return self._server.dial()

    def socket_for_ssh(self, stream: Stream) -> socket.socket | None:
        del stream
        return None


def serve(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server whose connections `Connections` gets."""
    folder.mkdir(exist_ok=True)
    settings = Settings(ssh_dir=str(folder / "ssh"))
    identity = identities.ensure(settings)
    (folder / "authorized_keys").write_text(f"{identity.public_key}\n")
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "host_key")]
    subprocess.run(words, check=True)
    key = " ".join((folder / "host_key.pub").read_text().split()[:2])
    settings.known_hosts_folder.mkdir(parents=True, exist_ok=True)
    (settings.known_hosts_folder / HOST).write_text(f"* {key}\n")
    found = container(host=HOST, user=getpass.getuser(), host_keys=(key,))
    server = Server(folder, settings, found)
    server.configure()
    monkeypatch.setattr(connections, "Dialler", lambda *_, **__: _Dialler(server))
    return server
