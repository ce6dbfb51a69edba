"""The process that ssh starts, with a daemon that a test plays."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sm_proxy.daemon import launcher, listening, peers, place, waiting, wire
from sm_proxy.daemon.listening import Listening
from sm_proxy.daemon.wire import Request, RequestReader

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no daemon")

CONNECT = ["connect", "--user", "root", "sm-x", "22"]
PROGRAM = """
import os, sys
from sm_proxy.daemon import launcher
launcher.ANSWER_S = 60.0
status = launcher.hand_over(sys.argv[1:])
if status is not None:
    os._exit(status)
print("worked here", sys.stdin.read())
"""


class Child:
    """The daemon's side of a connection, as far as a test has played it."""

    def __init__(self, listener: socket.socket) -> None:
        listener.settimeout(60)
        self.connection = listener.accept()[0]
        self.connection.settimeout(60)
        self.reader = RequestReader()
        self.is_ready = False

    def ready(self) -> None:
        self.is_ready = True
        self.connection.sendall(wire.READY)

    def request(self) -> Request:
        if not self.is_ready:
            self.ready()
        while (found := self.reader.receive(self.connection)) is None:
            pass
        return found

    def begins(self) -> Child:
        self.request()
        self.connection.sendall(wire.TAKEN)
        assert self.connection.recv(1) == wire.GO
        return self

    def lets_go(self) -> None:
        """Close its copies of the launcher's descriptors."""
        while self.reader.descriptors:
            os.close(self.reader.descriptors.pop())

    def close(self) -> None:
        self.lets_go()
        self.connection.close()


@pytest.fixture
def daemon() -> Iterator[Listening]:
    found = listening.listen(place.identity(), 5)
    assert found is not None
    yield found
    found.remove()


@contextlib.contextmanager
def launched(
    *words: str, program: str = PROGRAM, **options: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """A launcher; its stdin and stdout are pipes, unless `options` say otherwise."""
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    command = [sys.executable, "-c", program, *(words or CONNECT)]
    process = subprocess.Popen(command, **{**pipes, **options})
    try:
        with process:
            yield process
            process.wait(60)
    finally:
        process.kill()


@contextlib.contextmanager
def begun(daemon: Listening, **options: Any) -> Iterator[tuple[subprocess.Popen[bytes], Child]]:
    """A launcher, and the child that has begun to work for it."""
    with launched(**options) as process, contextlib.closing(Child(daemon.listener)) as child:
        yield process, child.begins()


@contextlib.contextmanager
def under_ssh(daemon: Listening) -> Iterator[tuple[subprocess.Popen[bytes], Child, socket.socket]]:
    """As `begun`, and ssh's end of the socket on which it waits for a descriptor."""
    ours, theirs = socket.socketpair()
    ours.settimeout(60)
    with ours, begun(daemon, stdin=theirs, stdout=theirs) as (process, child):
        theirs.close()
        child.lets_go()
        yield process, child, ours


def test_the_daemon_gets_all_that_the_work_needs(daemon: Listening, tmp_path: Path) -> None:
    environment = {**os.environb, b"ODD": b"\xff\nx=y"}
    folder = tmp_path / "gone"
    folder.mkdir()
    with launched(env=environment, cwd=folder, umask=0o27) as process:
        folder.rmdir()
        with contextlib.closing(Child(daemon.listener)) as child:
            request = child.request()
            assert (request.kind, request.identity) == ("connect", place.identity())
            assert (request.words, request.umask) == (list(map(os.fsencode, CONNECT)), 0o27)
            assert set(request.environment) >= {b"%b=%b" % item for item in environment.items()}
            *standard, where = child.reader.descriptors
            assert os.fstat(where).st_nlink == 0
            pipes = (process.stdin, process.stdout, process.stderr)
            for mine, pipe in zip(standard, pipes, strict=True):
                assert pipe is not None
                assert os.fstat(mine).st_ino == os.fstat(pipe.fileno()).st_ino
            child.connection.sendall(wire.TAKEN)
            assert child.connection.recv(1) == wire.GO
            wire.end(child.connection, 7)
            assert process.wait(60) == 7


def test_the_end_of_the_childs_descriptors_is_their_end(daemon: Listening) -> None:
    with begun(daemon) as (process, child):
        child.lets_go()
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read() + process.stderr.read() == b""
        assert process.poll() is None
        child.connection.sendall(wire.COPYING)
        wire.end(child.connection, 0)
        assert process.wait(60) == 0


def test_the_launcher_ends_once_ssh_has_its_descriptor(daemon: Listening) -> None:
    with under_ssh(daemon) as (process, child, ssh):
        child.connection.sendall(wire.PASSED)
        assert process.wait(60) == 0
        assert ssh.recv(1) == b""


@pytest.mark.parametrize("is_killed", [False, True])
def test_after_a_failure_ssh_gets_a_descriptor_at_its_end(
    daemon: Listening, *, is_killed: bool
) -> None:
    with under_ssh(daemon) as (process, child, ssh):
        if not is_killed:
            wire.end(child.connection, 3)
        child.close()
        assert process.wait(60) == (waiting.KILLED if is_killed else 3)
        data, (number,), _, _ = socket.recv_fds(ssh, 10, 2)
        with socket.socket(fileno=number) as found:
            assert (data, found.recv(1)) == (b"\0", b"")


def test_a_client_that_copies_gets_no_descriptor(daemon: Listening) -> None:
    with under_ssh(daemon) as (process, child, ssh):
        child.connection.sendall(wire.COPYING)
        wire.end(child.connection, 3)
        assert process.wait(60) == 3
        assert socket.recv_fds(ssh, 10, 2)[:2] == (b"", [])


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_the_child_decides_what_a_signal_means(daemon: Listening, number: signal.Signals) -> None:
    with begun(daemon) as (process, child):
        for _ in range(2):
            process.send_signal(number)
            assert child.connection.recv(1) == bytes([number])
        wire.end(child.connection, 130)
        assert process.wait(60) == 130


def test_a_signal_that_was_ignored_stays_ignored(daemon: Listening) -> None:
    program = f"import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN){PROGRAM}"
    with begun(daemon, program=program) as (process, child):
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        assert child.connection.recv(1) == bytes([signal.SIGTERM])


def test_a_killed_launcher_is_the_end_of_its_socket(daemon: Listening) -> None:
    with begun(daemon) as (process, child):
        process.kill()
        assert child.connection.recv(1) == b""


def test_work_that_is_given_back_is_done_here(daemon: Listening) -> None:
    with begun(daemon) as (process, child):
        kept = [os.dup(number) for number in range(3)]
        for number, given in enumerate(child.reader.descriptors[:3]):
            os.dup2(given, number)
        wire.give_back(child.connection)
        for number, own in enumerate(kept):
            os.dup2(own, number)
            os.close(own)
        child.close()
        assert process.communicate(b"asked") == (b"worked here asked\n", b"")
        assert process.returncode == 0


def test_without_a_daemon_the_work_is_done_here() -> None:
    with launched() as process:
        assert process.communicate(b"asked") == (b"worked here asked\n", b"")


@pytest.fixture
def why(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Why this process does the work itself: what SM_PROXY_LOG=debug tells."""
    reasons: list[str] = []
    monkeypatch.setattr(launcher, "_report", reasons.append)
    monkeypatch.setattr(launcher, "ANSWER_S", 0.05)
    monkeypatch.setattr(launcher, "absent", [False])
    return reasons


def here() -> bool:
    """Whether this process does the work itself."""
    before = len(list(Path("/dev/fd").iterdir()))
    found = launcher.hand_over(CONNECT)
    assert len(list(Path("/dev/fd").iterdir())) == before
    return found is None


def test_without_a_daemon_one_may_be_started(why: list[str]) -> None:
    assert here()
    assert why == ["there is none"]
    assert launcher.absent == [True]


def test_instead_of_a_killed_daemon_one_may_be_started(daemon: Listening, why: list[str]) -> None:
    daemon.listener.close()
    assert here()
    assert why == ["there is none"]
    assert launcher.absent == [True]


@pytest.mark.parametrize(
    ("answer", "reason"), [(wire.REFUSED, "it refused"), (b"", "it went away")]
)
def test_a_daemon_may_refuse(
    daemon: Listening, why: list[str], monkeypatch: pytest.MonkeyPatch, answer: bytes, reason: str
) -> None:
    steps = iter([Child.ready, Child.request])
    children: list[Child] = []
    recv = launcher._answer

    def play(connection: Any) -> bytes:
        if not children:
            children.append(Child(daemon.listener))
        if next(steps)(children[0]):
            children[0].connection.sendall(answer)
            children[0].close()
        return recv(connection)

    monkeypatch.setattr(launcher, "_answer", play)
    assert here()
    assert why == [reason]
    assert launcher.absent == [not answer]


def test_a_daemon_that_does_not_answer_is_left(daemon: Listening, why: list[str]) -> None:
    assert here()
    assert why == ["waiting for a process of it: timed out"]
    child = Child(daemon.listener)
    with contextlib.suppress(BrokenPipeError):
        child.ready()
    # Too late: it gets no descriptor, which would stay open as long as the daemon is stopped.
    assert wire.receive_word(child.connection) == (b"", [])
    child.close()
    assert launcher.absent == [False]


def test_a_busy_machine_may_take_longer(
    daemon: Listening, why: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sm_proxy.local.file_lock.slowdown", lambda: 2000)
    monkeypatch.setattr(launcher, "BUSIEST", 2000)
    near, far = socket.socketpair()
    with near, far:
        near.settimeout(launcher.ANSWER_S)
        settimeout = near.settimeout

        class Late:
            recv = near.recv

            def settimeout(self, seconds: float) -> None:
                settimeout(seconds)
                far.sendall(wire.TAKEN)

        late: Any = Late()
        assert launcher._answer(late) == wire.TAKEN
        assert near.gettimeout() == pytest.approx(1999 * launcher.ANSWER_S)


def test_a_daemon_that_reads_nothing_is_left(
    daemon: Listening, why: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(40):
        monkeypatch.setenv(f"LARGE_{number}", "x" * 100_000)
    accepted: list[Child] = []
    recv = launcher._answer

    def play(connection: Any) -> bytes:
        accepted.append(Child(daemon.listener))
        accepted[0].ready()
        return recv(connection)

    monkeypatch.setattr(launcher, "_answer", play)
    assert launcher.hand_over(CONNECT) is None
    assert why == ["sending the request: timed out"]
    accepted[0].close()


def test_a_daemon_with_a_full_backlog_is_left(why: list[str]) -> None:
    found = listening.listen(place.identity(), 0)
    assert found is not None
    full = []
    with contextlib.suppress(OSError):
        while True:
            full.append(peers.connect(str(found.path), 0.05))
    assert here()
    assert len(why) == 1
    assert launcher.absent == [False]
    for each in full:
        each.close()
    found.remove()


def test_a_bug_in_asking_does_not_cost_ssh_its_connection(
    daemon: Listening, why: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "_answer", lambda _: wire.READY)
    monkeypatch.setattr(wire, "send_request", None)
    assert here()
    assert why == ["TypeError: 'NoneType' object is not callable"]


def test_a_folder_of_others_is_left(daemon: Listening, why: list[str]) -> None:
    daemon.path.parent.chmod(0o755)
    assert here()
    assert "others may enter" in why[0]
    daemon.path.parent.chmod(0o700)


def test_a_folder_that_cannot_be_entered_is_left(
    why: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SM_PROXY_STATE_DIR", str(tmp_path / "file"))
    assert here()
    assert "Not a directory" in why[0]


@pytest.mark.parametrize("number", range(3))
def test_a_closed_descriptor_keeps_the_work_in_this_process(daemon: Listening, number: int) -> None:
    """Our connection would get its number, and the child would write its words there."""
    own = "kept = [os.dup(each) for each in range(3)]\n"
    closed = f"{own}os.close({number}); status = launcher.hand_over(sys.argv[1:])\n"
    back = "for each in range(3): os.dup2(kept[each], each)\n"
    program = PROGRAM.replace("status = launcher.hand_over(sys.argv[1:])\n", closed + back)
    with launched(program=program) as process:
        assert process.communicate(b"asked") == (b"worked here asked\n", b"")
    daemon.listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        daemon.listener.accept()


def test_a_process_with_few_descriptors_works_itself(daemon: Listening) -> None:
    few = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))\nstatus ="
    with launched(program=PROGRAM.replace("status =", few)) as process:
        assert process.communicate(b"asked") == (b"worked here asked\n", b"")


@pytest.mark.parametrize(
    ("words", "environment"),
    [
        (["list"], {}),
        (["--profile", "connect", "list"], {}),
        (["--help", "connect"], {}),
        (["--version"], {}),
        ([], {}),
        (CONNECT, {"SM_PROXY_DAEMON_IDLE": "0"}),
        (CONNECT, {"SM_PROXY_DAEMON_IDLE": "00m"}),
        (["--daemon-idle", "0", *CONNECT], {"SM_PROXY_DAEMON_IDLE": "5m"}),
        (["--daemon-idle=0s", *CONNECT], {}),
        (CONNECT, {"LD_PRELOAD": "libproxychains4.so"}),
        (CONNECT, {"DYLD_INSERT_LIBRARIES": "libproxychains4.dylib"}),
    ],
)
def test_a_daemon_is_not_asked(
    words: list[str], environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert not launcher.is_wanted(words)


@pytest.mark.parametrize(
    ("words", "environment"),
    [
        (CONNECT, {}),
        (["--profile", "p", "--prefix=x-", *CONNECT], {}),
        (CONNECT, {"SM_PROXY_DAEMON_IDLE": ""}),
        (CONNECT, {"SM_PROXY_DAEMON_IDLE": "10m", "LD_PRELOAD": ""}),
        (["--daemon-idle", "20", *CONNECT], {"SM_PROXY_DAEMON_IDLE": "0"}),
    ],
)
def test_a_daemon_is_asked(
    words: list[str], environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert launcher.is_wanted(words)


def test_windows_and_terminals_have_no_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    own, theirs = os.openpty()
    kept = os.dup(0)
    os.dup2(theirs, 0)
    try:
        assert not launcher.is_wanted(CONNECT)
    finally:
        os.dup2(kept, 0)
        for number in (own, theirs, kept):
            os.close(number)
    assert launcher.is_wanted(CONNECT)
    monkeypatch.setattr(sys, "platform", "win32")
    assert not launcher.is_wanted(CONNECT)
