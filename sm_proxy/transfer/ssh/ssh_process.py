"""One ssh process, over a stream that this process has dialled.

ssh takes the connection from us (`ProxyUseFdpass`), so none of our programs runs beside it. Its
ProxyCommand has to pass ssh a socket. It finds the socket in its stderr, which is one end of a
socket pair of ours: there is no path, so nobody else can connect. Where no descriptor can be
passed, ssh starts `sm-proxy connect` as usual.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, Final

from sm_proxy import error_handler
from sm_proxy.dialler import Dialler
from sm_proxy.errors import SmProxyError, printable
from sm_proxy.jobs.container import Container
from sm_proxy.settings import Settings
from sm_proxy.ssh_config import quoting
from sm_proxy.ssh_config.ssh_command import Complaints, failure, ssh_command
from sm_proxy.transfer.ssh import pass_socket
from sm_proxy.transfer.ssh.wire import Wire
from sm_proxy.tunnel.blocking_socket import BlockingSocket
from sm_proxy.tunnel.stream import Stream, StreamWrapper

PASSES_SOCKETS: Final = sys.platform != "win32" and hasattr(socket, "send_fds")
_CHUNK: Final = 1 << 17
_END_S: Final = 2.0


class CountedStream(StreamWrapper):
    """A `Stream` that counts the bytes towards the container.

    Attributes:
        carried: how many there were.
    """

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream)
        self.carried = 0

    def write(self, data: bytes) -> None:
        """Take at most `room` bytes for the other side."""
        self._stream.write(data)
        self.carried += len(data)


class SshProcess:
    """An ssh that this process has started; `close` may be called in any thread, at any step.

    Args:
        dialler: for this connection alone.
        container: as it was found.
        settings: of this run.
        user: to log in as; None for the container's own.
        compressed: whether ssh compresses.

    Attributes:
        wire: its stdin and stdout; after `start`.
        session_id: of the SSM session below it; empty without one, or if it is not ours.
        is_direct: whether it has the connection to the container itself.
        through: the route, and the machine that the bytes pass through; empty if unknown.
    """

    wire: Wire

    def __init__(
        self,
        dialler: Dialler,
        container: Container,
        settings: Settings,
        *,
        user: str | None,
        compressed: bool,
    ) -> None:
        self.session_id = self.through = ""
        self.is_direct = False
        self._dialler = dialler
        self._container = container
        self._settings = settings
        self._user = user
        self._options = [f"Compression {'yes' if compressed else 'no'}"]
        self._lock = threading.Lock()
        self._closed = False
        self._closers = contextlib.ExitStack()
        self._stream: Stream | None = None
        self._counted: CountedStream | None = None
        self._complaints: Complaints | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._error_file: Path | None = None

    def start(self, remote: Sequence[str], flags: Sequence[str] = ()) -> None:
        """Dial the container and start ssh.

        Args:
            remote: the command in the container.
            flags: more words for ssh.

        Raises:
            SmProxyError: the container cannot be dialled, or there is no ssh.
        """
        try:
            if PASSES_SOCKETS:
                self._start_over(self._dialled(), remote, flags)
            else:
                self._start_proxied(remote, flags)
        except OSError as error:
            self.close()
            raise SmProxyError(
                "unsupported",
                f"ssh cannot be started: {error.strerror or error}",
                "Close some files and programs, or raise the limits (`ulimit -n -u`).",
            ) from None
        except BaseException:
            self.close()
            raise

    def exit_status(self, within: float = _END_S) -> int | None:
        """The exit status of ssh; None if it still runs after so many seconds."""
        if self._process is None:
            return None
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(within)
        return None

    def complaint(self) -> str:
        """What ssh wrote to its stderr; call it once ssh has ended."""
        return "" if self._complaints is None else self._complaints.text()

    def lost_error(self) -> SmProxyError:
        """Why it has ended: the failure of our own part, else what ssh says."""
        stream, file = self._stream, self._error_file
        if stream is not None and stream.failure is not None:
            return _as_failure(stream.failure)
        if file is not None and (handed := error_handler.read_handed_over(file)) is not None:
            return handed
        if self.exit_status(_END_S if self.wire.ended else 0) is None:
            what = f"the connection to {self._container.host} is lost: {self.wire.lost}"
            return SmProxyError("session-lost", what, "Connect again.")
        told = failure(self._container, self.complaint())
        suspected = stream.suspicion if stream is not None else None
        if told.code == "session-lost" and suspected is not None:
            return _as_failure(suspected)
        return told

    def close(self) -> None:
        """End ssh, then the connection and its session; does nothing the second time."""
        with self._lock:
            self._closed = True
            closers = self._closers.pop_all()
        closers.close()

    def _keep(self, close: Callable[[], Any]) -> None:
        """Call `close` at the end, which may be now.

        Raises:
            SmProxyError: `session-lost`, the end came first.
        """
        with self._lock:
            if not self._closed:
                self._closers.callback(close)
                return
        close()
        raise SmProxyError("session-lost", "the connection was closed", "Connect again.")

    def _dialled(self) -> socket.socket:
        """A connected socket for ssh."""
        stream = self._dialler.open_stream(self._container)
        self._stream = stream
        if not stream.session_id and (found := self._dialler.socket_for_ssh(stream)) is not None:
            self._keep(stream.close)
            self.is_direct, self.through = True, stream.through
            return found.dup()
        counted = CountedStream(stream)
        tunnel = BlockingSocket(counted)
        self._keep(tunnel.close)
        tunnel.wait_open()
        tunnel.await_greeting(self._container.place, self._container.look)
        self.session_id, self.through = stream.session_id, stream.through
        self._counted = counted
        return tunnel.socket

    def _carried(self) -> int:
        return 0 if self._counted is None else self._counted.carried

    def _start_over(
        self, connection: socket.socket, remote: Sequence[str], flags: Sequence[str]
    ) -> None:
        words = [sys.executable, "-I", "-S", pass_socket.__file__]
        proxy = " ".join(quoting.quote_word(word) for word in words)
        options = [f"ProxyCommand {proxy}", "ProxyUseFdpass yes", *self._options]
        command = self._command(remote, flags, options)
        ours, theirs = socket.socketpair()
        errors, their_errors = socket.socketpair()
        with connection, theirs, errors, their_errors:
            self.wire = Wire(ours, self._carried)
            self._keep(self.wire.close)
            socket.send_fds(errors, [b"\0"], [connection.fileno()])
            self._read_complaints(os.fdopen(errors.detach(), "rb"))
            # Any other shell than sh may start slowly, or read the command in another way.
            environment = {**os.environ, "SHELL": "/bin/sh"}
            self._run(command, environment, theirs.fileno(), theirs.fileno(), their_errors.fileno())

    def _start_proxied(self, remote: Sequence[str], flags: Sequence[str]) -> None:
        command = self._command(remote, flags, self._options)
        folder = tempfile.TemporaryDirectory(prefix="sm-proxy-")
        self._keep(folder.cleanup)
        self._error_file = Path(folder.name, "error")
        environment = {**os.environ, error_handler.ERROR_FILE: str(self._error_file)}
        pipe = subprocess.PIPE
        process = self._run(command, environment, pipe, pipe, pipe)
        self._read_complaints(process.stderr)
        ours, theirs = socket.socketpair()
        self.wire = Wire(ours)
        threading.Thread(target=_carry, args=(process, theirs), daemon=True).start()
        self._keep(self.wire.close)

    def _command(
        self, remote: Sequence[str], flags: Sequence[str], options: Sequence[str]
    ) -> list[str]:
        return ssh_command(
            self._container,
            self._settings,
            remote,
            flags=flags,
            options=options,
            user=self._user,
            proxied=not PASSES_SOCKETS,
        )

    def _read_complaints(self, stream: IO[bytes] | None) -> None:
        self._complaints = Complaints(stream)

    def _run(
        self, command: list[str], environment: dict[str, str], stdin: int, stdout: int, stderr: int
    ) -> subprocess.Popen[bytes]:
        """Start ssh in a session of its own: ^C is for this process, which then ends ssh."""
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=PASSES_SOCKETS,
        )
        self._process = process
        self._keep(lambda: _end(process))
        return process


def _as_failure(error: Exception) -> SmProxyError:
    if isinstance(error, SmProxyError):
        return error
    return SmProxyError("session-lost", printable(str(error)), "Connect again.")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_END_S)


def _carry(process: subprocess.Popen[bytes], near: socket.socket) -> None:
    """Copy in both directions, until ssh or the other end of the socket is closed."""
    with near:
        down = threading.Thread(target=_carry_out, args=(process, near), daemon=True)
        down.start()
        _carry_in(process, near)
        down.join()


def _carry_in(process: subprocess.Popen[bytes], near: socket.socket) -> None:
    """Copy to ssh's stdin."""
    if process.stdin is not None:
        with contextlib.suppress(OSError), process.stdin:
            while data := near.recv(_CHUNK):
                process.stdin.write(data)
                process.stdin.flush()


def _carry_out(process: subprocess.Popen[bytes], near: socket.socket) -> None:
    """Copy from ssh's stdout, which ends when ssh does."""
    if process.stdout is not None:
        with contextlib.suppress(OSError), process.stdout:
            while data := process.stdout.read1(_CHUNK):  # type: ignore[attr-defined]
                near.sendall(data)
    with contextlib.suppress(OSError):
        near.shutdown(socket.SHUT_WR)
