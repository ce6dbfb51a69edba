"""A folder behind real paramiko clients, with faults: cuts, stalls, refusals.

The server speaks SFTP over socket pairs, in threads of this process.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from sm_proxy.errors import SmProxyError
from sm_proxy.transfer.ssh.connection import Answer, Connection
from sm_proxy.transfer.ssh.sftp_client import SftpClient
from sm_proxy.transfer.ssh.shell_channel import ShellChannel
from sm_proxy.transfer.ssh.shell_files import ShellFiles
from sm_proxy.transfer.ssh.wire import Wire

OK, EOF, NO_FILE, DENIED, FAILURE = range(5)
STATUS, HANDLE, DATA, ATTRS = 101, 102, 103, 105


class Process:
    """A stand-in for `ssh_process.SshProcess`, with a real wire."""

    def __init__(self, wire: Wire, number: int) -> None:
        self.wire, self.number = wire, number

    def lost_error(self) -> SmProxyError:
        return SmProxyError("session-lost", f"cut {self.number}: {self.wire.lost}")

    def close(self) -> None:
        self.wire.close()


class Container:
    """A stand-in for `jobs.container.Container`."""

    host, kind, job, node, address = "sm-job", "training", "job", "algo-1", "10.0.0.7"


class World:
    """The container: `root` is its root folder; paths of the other side are below it.

    Attributes:
        sent: how many bytes of file content the server has sent.
        cuts: at these counts of bytes sent or received, the connection in use is cut.
        opened: how many connections were opened.
        refuse: the status for a request, given its type and path or offset; None to serve it.
        before_read: called before each read, with the bytes sent so far.
        stalled: connections, by number, that never answer a read.
        before_script: called before each script.
        after_script: called after each script.
        script_path: PATH of scripts.
    """

    def __init__(self, root: Path, most: int = 4, *, sftp: bool = True) -> None:
        self.root = root
        self.most = most
        self.container = cast(Any, Container())
        self.sent = self.got = self.opened = self.scripts = 0
        self.cuts: list[int] = []
        self.fail_open: Callable[[int], None] = lambda _: None
        self.refuse: Callable[[int, Any], int | None] = lambda _kind, _what: None
        self.before_read: Callable[[int], None] = lambda _: None
        self.stalled: set[int] = set()
        self.before_script: Callable[[], None] = lambda: None
        self.after_script: Callable[[], None] = lambda: None
        self.script_path = os.environ["PATH"]
        self.lock = threading.Lock()
        self._sftp = sftp
        self._open: list[Connection] = []
        self._children: list[subprocess.Popen[bytes]] = []

    def first(self) -> Connection:
        return self.open()

    def open(self, *, compress: bool = False) -> Connection:
        with self.lock:
            self.opened += 1
            number = self.opened
        self.fail_open(number)
        ours, theirs = socket.socketpair()
        if not self._sftp:
            return self._shell(number, ours, theirs)
        server = threading.Thread(target=self._serve, args=(theirs, number), daemon=True)
        server.start()
        wire = Wire(ours)
        process = cast(Any, Process(wire, number))
        connection = Connection(number, SftpClient(wire), process, compressed=compress)
        with self.lock:
            self._open.append(connection)
        return connection

    def _shell(self, number: int, ours: socket.socket, theirs: socket.socket) -> Connection:
        """A container without an SFTP server."""
        channel, wire = ShellChannel(), Wire(ours)
        with theirs:
            child = subprocess.Popen(
                ["/bin/sh", "-c", channel.command],
                cwd=self.root,
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
            )
        process = cast(Any, Process(wire, number))
        connection = Connection(number, ShellFiles(channel, wire), process, compressed=False)
        self._open.append(connection)
        self._children.append(child)
        return connection

    def script(self, text: str, timeout: float) -> Answer:
        with self.lock:
            self.scripts += 1
        self.before_script()
        done = subprocess.run(
            ["/bin/sh", "-s"],
            input=text.encode(errors="surrogateescape"),
            cwd=self.root,
            env={"PATH": self.script_path},
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        self.after_script()
        return Answer(done.returncode, done.stdout.decode(errors="surrogateescape"))

    def close(self) -> None:
        for connection in self._open:
            connection.close()
        for child in self._children:
            child.wait(60)

    def _serve(self, end: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError, EOFError), end:
            _Session(self, end, number).run()

    def due(self, size: int) -> bool:
        """Count bytes; whether a cut is due."""
        with self.lock:
            self.sent += size
            if not self.cuts or self.sent + self.got < self.cuts[0]:
                return False
            self.cuts.pop(0)
            return True


class _Session:
    def __init__(self, world: World, end: socket.socket, number: int) -> None:
        self.world, self.number = world, number
        self.end = end
        self.stream = end.makefile("rb")
        self.files: dict[bytes, int] = {}

    def run(self) -> None:
        try:
            while True:
                size, kind = struct.unpack(">IB", self._exactly(5))
                body = self._exactly(size - 1)
                if kind == 1:
                    self._send(2, struct.pack(">I", 3))
                    continue
                answer, content = self._answer(kind, body[4:])
                whole = body[:4] + content
                if answer == DATA and self.world.due(len(content) - 4):
                    self._send_part(struct.pack(">IB", len(whole) + 1, answer) + whole)
                    raise EOFError
                self._send(answer, whole)
        finally:
            for handle in self.files.values():
                os.close(handle)
            self.stream.close()

    def _send_part(self, packet: bytes) -> None:
        """Cut in the middle of an answer."""
        self.end.sendall(packet[: len(packet) // 2])
        self.world.due(-(len(packet) // 2))

    def _exactly(self, size: int) -> bytes:
        data = self.stream.read(size)
        if len(data) < size:
            raise EOFError
        return data

    def _send(self, kind: int, body: bytes) -> None:
        self.end.sendall(struct.pack(">IB", len(body) + 1, kind) + body)

    def _answer(self, kind: int, body: bytes) -> tuple[int, bytes]:
        try:
            return self._act(kind, body)
        except FileNotFoundError:
            return self._status(NO_FILE)
        except PermissionError:
            return self._status(DENIED)
        except OSError:
            return self._status(FAILURE)

    @staticmethod
    def _status(code: int) -> tuple[int, bytes]:
        word = [b"Success", b"End of file", b"No such file", b"Permission denied", b"Failure"][code]
        return STATUS, struct.pack(">II", code, len(word)) + word + struct.pack(">I", 0)

    def _act(self, kind: int, body: bytes) -> tuple[int, bytes]:
        first, rest = self._text(body)
        if kind in {5, 6}:
            return self._move(kind, first, rest)
        if kind == 4:
            os.close(self.files.pop(first))
            return self._status(OK)
        if kind == 200:
            old, rest = self._text(rest)
            os.replace(self._path(old), self._path(self._text(rest)[0]))  # noqa: PTH105
            return self._status(OK)
        refused = self.world.refuse(kind, first.decode())
        return self._status(refused) if refused else self._act_on(kind, self._path(first), rest)

    def _act_on(self, kind: int, path: Path, rest: bytes) -> tuple[int, bytes]:
        if kind in {7, 17}:
            return ATTRS, self._attributes(path.stat() if kind == 17 else path.lstat())
        if kind == 3:
            return self._open_file(path, int.from_bytes(rest[:4], "big"))
        if kind == 13:
            path.unlink()
        elif kind == 9:
            self._set(path, rest)
        else:
            return self._status(FAILURE)
        return self._status(OK)

    def _open_file(self, path: Path, wanted: int) -> tuple[int, bytes]:
        flags = os.O_RDONLY if wanted == 1 else os.O_RDWR
        flags |= os.O_CREAT if wanted & 0x08 else 0
        flags |= os.O_TRUNC if wanted & 0x10 else 0
        flags |= os.O_EXCL if wanted & 0x20 else 0
        handle = os.open(path, flags, 0o600)
        name = str(handle).encode()
        self.files[name] = handle
        return HANDLE, struct.pack(">I", len(name)) + name

    def _move(self, kind: int, name: bytes, rest: bytes) -> tuple[int, bytes]:
        handle, (start, size) = self.files[name], struct.unpack(">QI", rest[:12])
        refused = self.world.refuse(kind, start)
        if refused is not None:
            return self._status(refused)
        if kind == 6:
            os.pwrite(handle, rest[12 : 12 + size], start)
            self.world.got += size
            if self.world.due(0):
                raise EOFError
            return self._status(OK)
        if self.number in self.world.stalled:
            self._exactly(1 << 30)  # until it is closed
        self.world.before_read(self.world.sent)
        data = os.pread(handle, size, start)
        return (DATA, struct.pack(">I", len(data)) + data) if data else self._status(EOF)

    def _path(self, name: bytes) -> Path:
        return self.world.root / os.fsdecode(name)

    @staticmethod
    def _text(body: bytes) -> tuple[bytes, bytes]:
        size = int.from_bytes(body[:4], "big")
        return body[4 : 4 + size], body[4 + size :]

    @staticmethod
    def _attributes(found: os.stat_result) -> bytes:
        times = (int(found.st_atime), int(found.st_mtime))
        return struct.pack(">IQIII", 0x01 | 0x04 | 0x08, found.st_size, found.st_mode, *times)

    @staticmethod
    def _set(path: Path, rest: bytes) -> None:
        flags, *values = struct.unpack(f">{len(rest) // 4}I", rest)
        if flags & 0x04:
            path.chmod(stat.S_IMODE(values[0]))
        if flags & 0x08:
            os.utime(path, (values[0], values[1]))
