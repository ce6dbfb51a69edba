"""Give ssh a descriptor to work with (`ProxyUseFdpass`), so that a long wait breaks no timeout.

With this option, ssh gives its ProxyCommand one Unix socket as stdin and stdout. It waits without a
limit for a descriptor on that socket, then for the exit of the process that it has started; only
then do its timeouts begin (OpenSSH, sshconnect.c: `ssh_proxy_fdpass_connect`). So that process
forks: the child does all the work and carries the tunnel, and the process that ssh waits for exits
once the descriptor is passed.

Other clients read the same ssh config and ignore the option. So only the descriptors decide: two
pipes or two sockets are a client that wants the bytes themselves. One that gives a single socket,
too, sends its greeting at once, but ssh sends nothing before it has a descriptor.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import socket
import stat
import sys
import threading
import time
from typing import Final, Protocol

from sm_proxy.errors import SmProxyError
from sm_proxy.local import debug_log, poll, process_identity, signals
from sm_proxy.local.helper_words import COPYING, PASSED

_LOOK_EVERY_S: Final = 1.0
_parents: list[Parent] = []
"""The process that this one works for, if any."""


class Ends(Protocol):
    """stdin and stdout of a ProxyCommand: see `stdio.Stdio`."""

    stdin: int
    stdout: int

    @property
    def untouched(self) -> bool:
        """Whether no byte and no descriptor has gone through."""


class Parent:
    """The process that ssh waits for, as seen by the one that does its work.

    Args:
        connection: to that process; at its end, the process has ended.

    Attributes:
        stdio: our stdin and stdout; None until `stdio.take_over`.
    """

    stdio: Ends | None = None

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._may_exit = False
        self._watched = False

    def send(self, word: bytes) -> None:
        """Send the helper a word; without effect if it was killed."""
        with contextlib.suppress(OSError):
            self.connection.sendall(word)

    def let_go(self) -> None:
        """From now on it may exit: ssh needs it no longer."""
        self._may_exit = True

    def watch(self) -> None:
        """In a thread, end this process if the other one ends before `let_go`."""
        if not self._watched:
            self._watched = True
            threading.Thread(target=self._watch, daemon=True).start()

    def received(self, word: bytes) -> None:
        """Take in a byte of the other process; one that forked us sends none."""

    def _watch(self) -> None:
        with contextlib.suppress(OSError):
            while word := self.connection.recv(1):
                self.received(word)
        if not self._may_exit:
            signals.interrupt_main_thread()


def fork_if_passing() -> None:
    """Fork if ssh waits for a descriptor, unless `adopt` was called; only the child returns.

    Call it while there is one thread and little is imported. On macOS, a child that does not exec
    may use the system's frameworks only if its parent has not used them.

    Raises:
        SmProxyError: `unsupported`, no process or descriptor is left.
    """
    if sys.platform == "win32" or _parents or not _is_one_socket(0, 1):
        return
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # if it is ignored, nobody can wait for a child
    ours, childs = _new_pair()
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signals.ENDING)  # until they are forwarded
    try:
        child = os.fork()
        if child:
            childs.close()
            _forward_signals(child)
    except OSError as error:
        raise SmProxyError(
            "unsupported",
            f"this machine cannot start more processes: {error.strerror or error}",
            "End some programs, or raise the limit (`ulimit -u`).",
        ) from None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    if child:
        os._exit(_wait(child, ours))
    ours.close()
    adopt(Parent(childs))


def adopt(parent: Parent) -> None:
    """Do the work of another process, which ends once ssh has its descriptor."""
    _parents.append(parent)


def taken_over(stdin: int, stdout: int) -> PassingStdio | None:
    """The end of ssh in a process that works for another, if ssh waits for a descriptor.

    Args:
        stdin: a copy of descriptor 0, which will belong to the result.
        stdout: the same of 1.
    """
    if not _parents or not _is_one_socket(stdin, stdout):
        return None
    os.close(stdout)
    return PassingStdio(socket.socket(fileno=stdin), _parents[0])


def note(stdio: Ends) -> None:
    """Note what this process has as stdin and stdout, in case its parent takes the work back."""
    for parent in _parents:
        parent.stdio = stdio


class PassingStdio:
    """A `Stdio` that passes ssh a descriptor just before the first byte for it.

    It copies on ssh's own socket instead if a byte comes from there before that.

    Args:
        ssh: the socket that is stdin and stdout.
        parent: the process that ssh waits for.
    """

    def __init__(self, ssh: socket.socket, parent: Parent) -> None:
        self._socket = ssh
        self._parent = parent
        self._undecided = True
        self._given_away = False
        self._opener = -1
        self.stdin = self.stdout = ssh.fileno()
        parent.watch()

    @property
    def untouched(self) -> bool:
        """Whether the client has got nothing from us, and we nothing from it."""
        return self._undecided and not self._given_away

    def read(self, size: int) -> bytes:
        """Bytes from ssh."""
        try:
            data = self._socket.recv(size)
        except OSError:
            return b""
        if data and self._undecided:
            self._copy()
        return data

    def write(self, data: bytes | memoryview) -> int:
        """Send bytes to ssh, as many as it takes.

        Raises:
            OSError: ssh no longer reads.
            SmProxyError: `unsupported`, there is no descriptor to pass.
        """
        if self._undecided and not self._client_waits():
            return self._pass_new(data)
        return self._send(data)

    def gone(self, within: float = 0) -> bool:
        """Whether ssh has closed its end; it does so, too, once it has the connection itself."""
        hung_up = bool(poll.wait([], [], [self.stdout], within).hung_up)
        return hung_up and not self._given_away

    def pass_socket(self, connection: socket.socket) -> bool:
        """Pass ssh this connection itself, and take no more part in it.

        Returns:
            Whether it is passed: not to a client that wants the bytes on its own socket.

        Raises:
            Hangup: ssh has gone.
        """
        try:
            if not self._undecided or self._client_waits():
                return False
            self._given_away = True
            self._pass(connection)
        except OSError:
            raise signals.Hangup(signal.SIGHUP) from None
        return True

    def finish(self) -> None:
        """Tell ssh that no more bytes come."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def for_another(self) -> list[int]:
        """Descriptors with which another process can go on; empty if none can.

        They are the socket to ssh, stderr, and one that is readable once stderr must be closed: see
        `_detach_stderr_after`. They stay open here.
        """
        return [self.stdin, 2, self._opener] if self._opener >= 0 else []

    def _send(self, data: bytes | memoryview) -> int:
        try:
            return self._socket.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0

    def _client_waits(self) -> bool:
        """Whether the client has sent bytes, so that it is not an ssh that waits for a descriptor.

        Raises:
            BrokenPipeError: it has gone.
        """
        try:
            waiting = self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        if not waiting:
            raise BrokenPipeError("ssh has gone")
        self._copy()
        return True

    def _copy(self) -> None:
        debug_log.write("copying for a client that takes no descriptor")
        self._undecided = False
        self._parent.send(COPYING)

    def _pass_new(self, first: bytes | memoryview) -> int:
        """Pass one end of a new socket pair, with the first bytes in it, and keep the other."""
        self._opener = _detach_stderr_after(self._socket)
        near, far = _new_pair()
        with far:
            taken = near.send(first, socket.MSG_DONTWAIT)
            self._pass(far)
        self._socket.close()
        self._socket = near
        self.stdin = self.stdout = near.fileno()
        return taken

    def _pass(self, wanted: socket.socket) -> None:
        """Pass a descriptor, and leave ssh's terminal: ^C and a hang-up are for ssh now."""
        _send_descriptor(self._socket, wanted)
        debug_log.write("descriptor passed")
        self._undecided = False
        self._parent.let_go()
        with contextlib.suppress(OSError):
            os.setsid()
        self._parent.send(PASSED)


def _is_one_socket(first: int, second: int) -> bool:
    """Whether both descriptors are the same Unix stream socket."""
    one, other = os.fstat(first), os.fstat(second)
    if not stat.S_ISSOCK(one.st_mode) or not os.path.samestat(one, other):
        return False
    with socket.socket(fileno=os.dup(first)) as found:
        return found.family == socket.AF_UNIX and found.type == socket.SOCK_STREAM


def _new_pair() -> tuple[socket.socket, socket.socket]:
    """A socket pair. An error here is not the end of ssh, and the user can fix it."""
    try:
        return socket.socketpair()
    except OSError as error:
        raise SmProxyError(
            "unsupported",
            f"no more descriptors can be opened: {error.strerror or error}",
            "Close some files, or raise the limit (`ulimit -n`).",
        ) from None


def _wait(child: int, control: socket.socket) -> int:
    """Wait in the parent until ssh needs it no longer; returns the exit status.

    A child that ends without a word has failed, and has told the user why. Then ssh gets a
    descriptor that is at its end: without one, it would blame "the proxy dialer", even at LogLevel
    QUIET.
    """
    signals.detach_stderr()  # the child writes to it, and it must not stay open after the child
    word = control.recv(1)
    if word == PASSED:
        return 0
    _, status = os.waitpid(child, 0)
    if not word:
        pass_ended()
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _forward_signals(child: int) -> None:
    """Let the child decide what a signal means; those that were ignored stay ignored."""

    def forward(number: int, _: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)

    for number in signals.ENDING:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, forward)


def pass_ended() -> None:
    """Pass ssh a socket whose other end is closed, unless the client has sent bytes."""
    with contextlib.suppress(OSError):
        near, far = socket.socketpair()
        near.close()
        with far, socket.socket(fileno=os.dup(0)) as ssh:
            if not poll.wait([ssh.fileno()], [], [], 0).readable:
                _send_descriptor(ssh, far)


def _send_descriptor(ssh: socket.socket, wanted: socket.socket) -> None:
    """As OpenSSH expects it (monitor_fdpass.c): one byte with one descriptor."""
    socket.send_fds(ssh, [b"\0"], [wanted.fileno()])


def _detach_stderr_after(ssh: socket.socket) -> int:
    """Close stderr once the process that made ssh's socket has ended.

    With `-f`, another process of ssh goes on with the connection. A program that reads the stderr
    of the first one to its end must not wait for us.

    Returns:
        A descriptor that is readable once that process has ended; -1 if there is none.
    """
    if sys.platform != "linux":
        return -1
    made_by = ssh.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    first = int.from_bytes(made_by[:4], sys.byteorder)
    if not first:  # it is in another pid namespace
        return -1
    watched = -1
    with contextlib.suppress(AttributeError, OSError):  # conda's Python is for older kernels
        watched = os.pidfd_open(first)

    def work() -> None:
        with contextlib.suppress(OSError):  # no descriptor is left, to look at the process
            _await_end(first, watched)
            signals.detach_stderr()

    threading.Thread(target=work, daemon=True).start()
    return watched


def _await_end(pid: int, watched: int) -> None:
    """Wait until a process ends, even if its parent does not ask for its status.

    Args:
        pid: of the process.
        watched: its descriptor, or -1.

    Raises:
        OSError: nothing can be known about it.
    """
    if watched >= 0:
        poll.wait([watched], [], [], math.inf)
        return
    begun = process_identity.start_time(pid)
    while begun and process_identity.start_time(pid) == begun:
        time.sleep(_LOOK_EVERY_S)
