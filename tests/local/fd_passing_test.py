"""A ProxyCommand under a client that waits for a descriptor, and under all others."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.local import fd_passing

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows passes no descriptors")

GREETING = b"SSH-2.0-fake\r\n"
PROGRAM = """
import os, resource, socket, sys
from sm_proxy.errors import SmProxyError
from sm_proxy.local import fd_passing, poll, signals, stdio

LIMITS = resource.getrlimit(resource.RLIMIT_NOFILE)

def main():
    if sys.argv[3:] == ["as in conda"] and hasattr(os, "pidfd_open"):
        del os.pidfd_open
    go = int(sys.argv[2])
    fd_passing.fork_if_passing()
    signals.raise_on_hangup()
    ends = stdio.take_over()
    print("pid", os.getpid(), type(ends).__name__, flush=True)
    with signals.Watch(ends.gone):
        os.read(go, 1)
    if sys.argv[1] == "fail":
        print("sm-proxy: the last line", flush=True)
        return 7
    if sys.argv[1] == "socket":
        with socket.create_server(("127.0.0.1", 0)) as server:
            near = socket.create_connection(server.getsockname())
            far, _ = server.accept()
        far.sendall(b"SSH-2.0-fake\\r\\n")
        with signals.Watch(ends.gone):
            passed = ends.pass_socket(near)
            os.read(go, 1)  # ssh is at work
        if passed:
            near.close()
            far.sendall(far.recv(1000))
            return 3
    if sys.argv[1] == "no descriptor left":
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, LIMITS[1]))
    data = b"SSH-2.0-fake\\r\\n"
    while data:
        ends.write(data)
        poll.wait([ends.stdin], [], [], 60)
        data = ends.read(1000)
    ends.finish()
    return 3

try:
    sys.exit(main())
except signals.Hangup:
    sys.exit(130)
except SmProxyError as error:
    # At exit, glibc opens a library to end our threads (pthread_exit), and aborts if it cannot.
    resource.setrlimit(resource.RLIMIT_NOFILE, LIMITS)
    sys.exit(error.line)
"""


@dataclass
class Helper:
    """A ProxyCommand: `ssh` is the other end of its stdin and stdout."""

    process: subprocess.Popen[bytes]
    ssh: socket.socket
    alive: int
    go: int
    pid: int = 0
    kind: str = ""
    received: list[socket.socket] = field(default_factory=list)

    def descriptor(self) -> socket.socket:
        """The descriptor that ssh gets; wait for the helper's exit, as ssh does."""
        data, found, _, _ = socket.recv_fds(self.ssh, 10, 2)
        assert data == b"\0"
        (number,) = found
        self.received.append(socket.socket(fileno=number))
        self.process.wait(60)
        return self.received[0]

    def goes_on(self) -> None:
        """Let it work: until then it waits, as for a job that is starting."""
        os.write(self.go, b"x")

    def nothing_is_left(self) -> bool:
        """Whether all processes end: each has a copy of this pipe's other end."""
        return bool(select.select([self.alive], [], [], 60)[0]) and os.read(self.alive, 1) == b""

    def said(self) -> bytes:
        assert self.process.stderr is not None
        return self.process.stderr.read()


@contextlib.contextmanager
def started(
    what: str,
    ends: tuple[socket.socket, socket.socket] | None = None,
    *,
    first: bytes = b"",
    waits: bool = False,
) -> Iterator[Helper]:
    ours, theirs = ends or socket.socketpair()
    ours.settimeout(60)
    ours.sendall(first)
    alive, theirs_alive = os.pipe()
    theirs_go, go = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, what, str(theirs_go)],
        stdin=theirs.fileno(),
        stdout=theirs.fileno(),
        stderr=subprocess.PIPE,
        pass_fds=[theirs_alive, theirs_go],
    )
    os.close(theirs_alive)
    os.close(theirs_go)
    theirs.close()
    helper = Helper(process, ours, alive, go)
    assert process.stderr is not None
    try:
        line = process.stderr.readline().split()
        assert line[:1] == [b"pid"], line + process.stderr.readlines()
        helper.pid, helper.kind = int(line[1]), line[2].decode()
        if not waits:
            helper.goes_on()
        yield helper
    finally:
        ours.close()
        for each in helper.received:
            each.close()
        process.kill()  # the child ends with it
        process.wait()
        process.stderr.close()
        os.close(alive)
        os.close(go)


def echoes(connection: socket.socket) -> bool:
    """Whether bytes pass both ways, after the greeting."""
    connection.settimeout(60)
    with connection.makefile("rwb") as file:
        assert file.readline() == GREETING
        file.write(b"hello\n")
        file.flush()
        return file.readline() == b"hello\n"


def test_ssh_gets_a_descriptor_with_the_first_bytes_and_need_not_wait_longer() -> None:
    with started("answer") as helper:
        assert helper.pid != helper.process.pid
        connection = helper.descriptor()
        assert helper.process.returncode == 0
        assert os.getsid(helper.pid) == helper.pid  # ^C is for ssh
        assert echoes(connection)
        connection.close()
        assert helper.nothing_is_left()


def test_the_end_of_the_server_is_the_end_of_the_descriptor() -> None:
    with started("answer") as helper:
        connection = helper.descriptor()
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(60)
        assert connection.makefile("rb").read() == GREETING
        assert helper.nothing_is_left()


@pytest.mark.parametrize("early", [True, False])
def test_a_client_that_sends_bytes_first_is_served_on_its_own_socket(*, early: bool) -> None:
    mine = b"SSH-2.0-mine\r\n"
    with started("answer", first=mine if early else b"", waits=True) as helper:
        if not early:
            helper.ssh.sendall(mine)
        helper.goes_on()
        file = helper.ssh.makefile("rb")
        assert file.readline() == GREETING
        assert file.readline() == mine
        assert helper.process.poll() is None
        helper.ssh.shutdown(socket.SHUT_WR)
        assert helper.process.wait(60) == 3
        assert file.read() == b""
        assert helper.nothing_is_left()


def test_ssh_gets_a_connection_itself() -> None:
    with started("socket") as helper:
        connection = helper.descriptor()
        helper.ssh.close()  # as ssh does
        assert connection.family == socket.AF_INET
        helper.goes_on()
        assert helper.process.returncode == 0
        assert echoes(connection)
        assert helper.nothing_is_left()


def test_a_client_that_sends_bytes_first_gets_no_connection_itself() -> None:
    with started("socket", first=b"SSH-2.0-mine\r\n") as helper:
        helper.goes_on()
        assert helper.ssh.recv(len(GREETING)) == GREETING
        helper.ssh.close()
        assert helper.nothing_is_left()


def test_nothing_is_left_if_ssh_leaves_before_it_gets_a_connection() -> None:
    with started("socket", waits=True) as helper:
        helper.process.send_signal(signal.SIGSTOP)
        os.kill(helper.pid, signal.SIGSTOP)
        helper.ssh.close()
        helper.goes_on()
        os.kill(helper.pid, signal.SIGCONT)
        helper.process.send_signal(signal.SIGCONT)
        assert helper.process.wait(60) == 130
        assert helper.nothing_is_left()


def test_after_a_failure_ssh_gets_a_descriptor_at_its_end() -> None:
    with started("fail") as helper:
        connection = helper.descriptor()
        assert connection.recv(1) == b""
        assert helper.process.returncode == 7
        assert helper.said() == b"sm-proxy: the last line\n"  # and nobody keeps it open
        assert helper.nothing_is_left()


def test_a_client_that_sends_bytes_gets_no_descriptor_after_a_failure() -> None:
    with started("fail", first=b"SSH-2.0-mine\r\n") as helper:
        assert helper.process.wait(60) == 7
        with contextlib.suppress(ConnectionResetError):  # its bytes were not read
            assert socket.recv_fds(helper.ssh, 10, 2)[:2] == (b"", [])


def test_nothing_is_left_after_ssh_leaves_during_the_wait() -> None:
    with started("answer", waits=True) as helper:
        helper.ssh.close()
        assert helper.process.wait(60) == 130
        assert helper.said() == b""
        assert helper.nothing_is_left()


@pytest.mark.parametrize("stopped", [False, True])
def test_nothing_is_left_after_the_process_that_ssh_waits_for_is_killed(*, stopped: bool) -> None:
    with started("answer", waits=True) as helper:
        if stopped:
            helper.process.send_signal(signal.SIGSTOP)
        helper.process.kill()
        assert helper.nothing_is_left()
        assert helper.ssh.recv(10) == b""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_ssh_gets_a_descriptor_at_its_end_if_the_child_is_killed(number: signal.Signals) -> None:
    with started("answer", waits=True) as helper:
        os.kill(helper.pid, number)
        assert helper.descriptor().recv(1) == b""
        assert helper.process.returncode == {signal.SIGTERM: 130, signal.SIGKILL: 137}[number]
        assert helper.nothing_is_left()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_the_child_ends_on_a_signal_to_its_parent(number: signal.Signals) -> None:
    with started("answer", waits=True) as helper:
        helper.process.send_signal(number)
        assert helper.descriptor().recv(1) == b""
        assert helper.process.returncode == 130
        assert helper.said() == b""


def test_a_killed_child_ends_the_connection_that_it_carries() -> None:
    with started("answer") as helper:
        connection = helper.descriptor()
        assert connection.recv(100) == GREETING
        os.kill(helper.pid, signal.SIGKILL)
        assert connection.recv(1) == b""
        assert helper.nothing_is_left()


SSH_F = """
import os, socket, subprocess, sys
ours, theirs = socket.socketpair()
with subprocess.Popen([sys.executable, "-c", *sys.argv[1:]], stdin=theirs, stdout=theirs):
    theirs.close()
    _, (number,), _, _ = socket.recv_fds(ours, 10, 1)
if os.fork() == 0:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    connection = socket.socket(fileno=number).makefile("rwb", buffering=0)
    os.write(1, connection.readline())
    for line in sys.stdin.buffer:
        connection.write(line)
        os.write(1, connection.readline())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who made the socket")
@pytest.mark.parametrize("python", ["usual", "as in conda"])
def test_stderr_is_closed_once_ssh_has_gone_to_the_background(python: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SSH_F, PROGRAM, "answer", "0", python],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdin, process.stdout, process.stderr:
        assert process.stderr.read().startswith(b"pid ")
        assert process.stdout.readline() == GREETING
        process.stdin.write(b"still there\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"still there\n"
        process.stdin.close()
        process.stdout.read()
    process.wait(60)


def a_tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        return one, server.accept()[0]


@pytest.mark.parametrize("kind", ["tcp", "datagram"])
def test_only_a_unix_stream_socket_carries_descriptors(kind: str) -> None:
    unix = socket.socketpair(type=socket.SOCK_DGRAM)
    pair = a_tcp_pair() if kind == "tcp" else unix
    with started("fail", ends=pair) as helper:
        assert (helper.kind, helper.pid) == ("DirectStdio", helper.process.pid)
    for end in unix:
        end.close()


@pytest.mark.parametrize("kind", ["pipes", "two sockets"])
def test_two_descriptors_are_a_client_that_wants_bytes(kind: str) -> None:
    pairs = [socket.socketpair(), socket.socketpair()] if kind == "two sockets" else []
    nothing = os.open(os.devnull, os.O_RDONLY)
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "fail", str(nothing)],
        stdin=pairs[0][1].fileno() if pairs else subprocess.PIPE,
        stdout=pairs[1][1].fileno() if pairs else subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=[nothing],
    )
    os.close(nothing)
    _, said = process.communicate(timeout=60)
    for pair in pairs:
        for end in pair:
            end.close()
    first, *rest = said.splitlines()
    assert first.decode() == f"pid {process.pid} DirectStdio"
    assert rest == [b"sm-proxy: the last line"]
    assert process.returncode == 7


def test_a_machine_that_starts_no_process_is_an_expected_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused() -> int:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(fd_passing, "_is_one_socket", lambda *_: True)
    monkeypatch.setattr(os, "fork", refused)
    one, other = socket.socketpair()
    monkeypatch.setattr(socket, "socketpair", lambda: (one, other))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with one, other, pytest.raises(SmProxyError, match="cannot start more processes") as caught:
        fd_passing.fork_if_passing()
    assert caught.value.code == "unsupported"
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


def test_without_a_descriptor_for_ssh_the_error_is_ours() -> None:
    """It must not look as if ssh had gone: that is no failure, and says nothing."""
    with started("no descriptor left") as helper:
        assert helper.descriptor().recv(1) == b""
        assert helper.process.returncode == 1
        assert helper.said().startswith(b"sm-proxy: unsupported: no more descriptors ")
        assert helper.nothing_is_left()
