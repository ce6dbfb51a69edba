"""What a hostile or broken program may send to the daemon, and that nothing of it is left."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.soak import cases
from tests.waits import await_true

if sys.platform == "win32":
    pytest.skip("Windows has no daemon", allow_module_level=True)

from sm_proxy.daemon import peers, place, wire

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it looks at processes in /proc")

SERVE = """
import sys
from sm_proxy import cli
from sm_proxy.daemon import server, entry
run = cli.main
{change}
sys.exit(entry.serve(300, run, lambda: None))
"""
NOBODY = ["connect", "no-name-of-ours"]
"""A connection that fails before it needs a network."""


@dataclass
class Daemon:
    """A daemon with folders of its own, and what its askers need."""

    process: subprocess.Popen[bytes]
    environment: dict[str, str]
    identity: str
    path: str
    opened: list[int] = field(default_factory=list)

    def connected(self) -> socket.socket:
        connection = socket.socket(fileno=peers.connect(self.path, 60).detach())
        connection.settimeout(60)
        return connection

    def request(self, words: Sequence[str] = NOBODY, **changes: Any) -> wire.Request:
        environment = [f"{name}={value}".encode() for name, value in self.environment.items()]
        given = {"kind": "connect", "identity": self.identity, "environment": environment}
        return wire.Request(words=list(map(os.fsencode, words)), **{**given, **changes})

    def answer(self, request: wire.Request, descriptors: Sequence[int]) -> tuple[int | None, bytes]:
        """The exit status and stderr of a whole request."""
        reader, writer = os.pipe()
        with self.connected() as connection, open(reader, "rb") as stderr:  # noqa: PTH123
            try:
                wire.send_request(
                    connection, request, [writer if fd == 2 else fd for fd in descriptors]
                )
            finally:
                os.close(writer)
            word = connection.recv(1)
            if word == wire.TAKEN:
                connection.sendall(wire.GO)
                word = connection.recv(1)
            status = connection.recv(1) if word == wire.ENDED else b""
            return status[0] if status else None, stderr.read()

    def serves(self) -> None:
        """Check that it serves the next connection, and that nothing of earlier ones is left."""
        with folder() as here:
            status, said = self.answer(self.request(), (0, 1, 2, here))
        assert (status, said.split()[:2]) == (1, [b"sm-proxy:", b"bad-name:"])
        await_true(lambda: children(self.process.pid) == [], 60, lambda: children(self.process.pid))
        await_true(
            lambda: descriptors(self.process.pid) == self.opened,
            60,
            lambda: descriptors(self.process.pid),
        )
        assert self.process.poll() is None


@contextlib.contextmanager
def folder() -> Iterator[int]:
    number = os.open("/", os.O_PATH | os.O_DIRECTORY)
    try:
        yield number
    finally:
        os.close(number)


def children(pid: int) -> list[int]:
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def descriptors(pid: int) -> list[int]:
    return sorted(int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir())


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with running() as found:
        yield found


@contextlib.contextmanager
def running(change: str = "") -> Iterator[Daemon]:
    """A daemon, after a change to its modules."""
    base = tempfile.mkdtemp(dir="/tmp", prefix="sm-")  # a socket's path must be short
    own = {f"SM_PROXY_{kind}_DIR": f"{base}/{kind}" for kind in ("STATE", "CACHE", "CONFIG")}
    environment = {"PATH": os.environ["PATH"], "HOME": base, **own}
    root = str(Path(peers.__file__).parents[2])
    before = dict(os.environ)
    try:
        command = [sys.executable, "-c", SERVE.format(change=change)]
        with ended(subprocess.Popen(command, env={**environment, "PYTHONPATH": root})) as process:
            os.environ.update(environment)
            found = Daemon(process, environment, place.identity(), "")
            found.path = place.sockets(found.identity)[0]
            await_true(lambda: os.path.exists(found.path), 60, alive=process)  # noqa: PTH110
            await_true(lambda: answers(found), 60, alive=process)
            await_true(lambda: children(process.pid) == [], 60)
            found.opened = descriptors(process.pid)
            yield found
    finally:
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(base)


@contextlib.contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    with process:
        try:
            yield process
        finally:
            process.terminate()


def answers(daemon: Daemon) -> bool:
    with contextlib.suppress(OSError), daemon.connected() as connection:
        wire.send_request(connection, daemon.request(kind="status"), [])
        return bool(connection.recv(1))
    return False


def length(number: int) -> bytes:
    return number.to_bytes(4, "big")


def fields(*words: str) -> bytes:
    body = b"".join(os.fsencode(word) + b"\0" for word in words)
    return length(len(body)) + body


NONSENSE = {
    "nothing": b"",
    "an empty request": length(0),
    "a cut request": fields("connect", "x", "77", "0")[:-3],
    "no end": length(3) + b"abc",
    "more than it says": length(1) + b"\0" * 9,
    "four gigabytes": b"\xff" * 4,
    "a little too much": length(wire.LARGEST + 1),
    "a TLS greeting": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    "an HTTP request": b"GET / HTTP/1.1\r\n\r\n",
    "not a number": fields("connect", "x", "77", "many"),
    "fewer than no words": fields("connect", "x", "77", "-1", "connect"),
    "more words than come": fields("connect", "x", "77", "99", "connect"),
    "a mask of letters": fields("connect", "x", "rwx", "1", "connect"),
    "too large a mask": fields("connect", "x", "7777777", "1", "connect"),
    "a long number": fields("connect", "x", "77", "9" * 6000, "connect"),
    "bytes that are no text": fields("connect\udcff", "x", "77", "0"),
}


def test_nonsense_gets_no_work(daemon: Daemon) -> None:
    assert {what: answered(daemon, data) for what, data in NONSENSE.items()} == dict.fromkeys(
        NONSENSE, b""
    )
    daemon.serves()


def answered(daemon: Daemon, data: bytes) -> bytes:
    """All that comes for these bytes, instead of a request."""
    with daemon.connected() as connection:
        assert connection.recv(1) == wire.READY
        with contextlib.suppress(ConnectionError):  # it was closed with bytes unread
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(64), b""))
    return b""


def test_only_the_code_that_the_daemon_has_is_served(daemon: Daemon) -> None:
    """Its files are older than the launcher's, or it is in another place."""
    with folder() as here, daemon.connected() as connection:
        wire.send_request(connection, daemon.request(identity="another"), (0, 1, 2, here))
        assert connection.recv(1) == wire.REFUSED
    daemon.serves()


ASK = """
import sys
from sm_proxy.daemon import peers
print(peers.connect(sys.argv[1], 60).recv(1).decode())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may enter another namespace")
def test_a_process_in_another_place_is_refused_in_a_word(daemon: Daemon) -> None:
    words = ["unshare", "--net", sys.executable, "-c", ASK, daemon.path]
    assert subprocess.check_output(words) == wire.REFUSED + b"\n"
    daemon.serves()


@pytest.mark.parametrize("number", cases([0, 1, 3, 5, 200], [0, 5, 200]))
def test_a_wrong_number_of_descriptors_gets_no_work(daemon: Daemon, number: int) -> None:
    with folder() as here, daemon.connected() as connection:
        wire.send_request(connection, daemon.request(), [here] * number)
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) != wire.TAKEN
    daemon.serves()


def test_a_request_with_an_invalid_working_folder_is_refused(daemon: Daemon) -> None:
    with Path(__file__).open() as file, daemon.connected() as connection:
        wire.send_request(connection, daemon.request(), (0, 1, 2, file.fileno()))
        assert connection.recv(1) == b""
    daemon.serves()


def test_a_folder_as_stdin_and_stdout_gets_no_work(daemon: Daemon) -> None:
    """Python does not start with it either."""
    with folder() as here:
        assert daemon.answer(daemon.request(), (here, here, 2, here)) == (None, b"")
    daemon.serves()


ENVIRONMENTS: dict[str, list[bytes]] = {
    "none": [],
    "without a value": [b"HOME"],
    "without a name": [b"=x", b"="],
    "no text": [b"\xff=\xff", b"HOME=/\xff"],
    "twice": [b"HOME=/a", b"HOME=/b"],
    "long": [b"X=" + b"x" * (4 << 20)],
    "many": [b"X%d=" % number for number in range(20_000)],
}


@pytest.mark.parametrize("kind", cases(ENVIRONMENTS, ["none", "without a name", "no text", "long"]))
def test_any_environment_is_one(daemon: Daemon, kind: str) -> None:
    request = daemon.request(environment=[*ENVIRONMENTS[kind], *daemon.request().environment])
    with folder() as here:
        status, said = daemon.answer(request, (0, 1, 2, here))
    assert (status, said.split()[1]) == (1, b"bad-name:")
    daemon.serves()


@pytest.mark.parametrize("word", [b"", b"x", b"\0" * 100, wire.TAKEN])
def test_without_the_word_to_begin_nothing_is_done(daemon: Daemon, word: bytes) -> None:
    """The launcher has given up, and does the work itself."""
    reader, writer = os.pipe()
    with folder() as here, daemon.connected() as connection, open(reader, "rb") as stderr:  # noqa: PTH123
        wire.send_request(connection, daemon.request(), (0, 1, writer, here))
        os.close(writer)
        assert connection.recv(1) == wire.TAKEN
        connection.sendall(word)
        connection.shutdown(socket.SHUT_WR)
        assert stderr.read() == b""
    daemon.serves()


def test_incomplete_requests_block_no_other_and_time_out(daemon: Daemon) -> None:
    """Each has a process of its own, for a few seconds."""
    whole = daemon.request().encode()
    with contextlib.ExitStack() as held:
        half = [held.enter_context(daemon.connected()) for _ in range(20)]
        for number, connection in enumerate(half):
            connection.sendall(whole[: number * len(whole) // len(half)])
        with folder() as here:
            assert daemon.answer(daemon.request(), (0, 1, 2, here))[0] == 1
        await_true(lambda: drips_are_refused(half), 60)
    daemon.serves()


def drips_are_refused(connections: list[socket.socket]) -> bool:
    """Send one more byte on each; whether all of them are closed at the other end."""
    time.sleep(0.2)  # as a slow sender does
    return not any([takes_more(connection) for connection in connections])  # noqa: C419 - all drip


def takes_more(connection: socket.socket) -> bool:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        return bool(connection.send(b"\0"))
    return False


def test_a_large_request_takes_no_memory_of_the_daemon(daemon: Daemon) -> None:
    before = memory(daemon.process.pid)
    large = [*daemon.request().environment, b"X=" + b"x" * (wire.LARGEST - 20_000)]
    with folder() as here:
        assert daemon.answer(daemon.request(environment=large), (0, 1, 2, here))[0] == 1
    daemon.serves()
    assert memory(daemon.process.pid) - before < 2 << 20


def memory(pid: int) -> int:
    """Resident bytes of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


@pytest.mark.parametrize(
    "number", cases([0, signal.SIGKILL, signal.SIGSTOP, 65, 255], [signal.SIGKILL, 255])
)
def test_a_launcher_passes_on_only_the_signals_that_it_gets(daemon: Daemon, number: int) -> None:
    reader, writer = os.pipe()
    with folder() as here, daemon.connected() as connection, open(reader, "rb") as stderr:  # noqa: PTH123
        wire.send_request(connection, daemon.request(), (0, 1, writer, here))
        os.close(writer)
        assert connection.recv(1) == wire.TAKEN
        connection.sendall(wire.GO + bytes([number]) * 3)
        assert connection.recv(2, socket.MSG_WAITALL) == wire.ENDED + b"\1"
        assert b"bad-name" in stderr.read()
    daemon.serves()


def test_a_daemon_without_descriptors_goes_on_when_it_has_some(daemon: Daemon) -> None:
    import resource

    pid = daemon.process.pid
    most = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(daemon.opened), most[1]))
    try:
        with daemon.connected() as connection:
            connection.settimeout(0.5)  # longer than it waits after a failure
            with pytest.raises(TimeoutError):
                wire.send_request(connection, daemon.request(kind="status"), [])
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, most)
    daemon.serves()


def test_a_daemon_that_was_stopped_for_a_while_goes_on(daemon: Daemon) -> None:
    """The laptop was suspended."""
    daemon.process.send_signal(signal.SIGSTOP)
    try:
        waiting = [daemon.connected() for _ in range(3)]
        for connection in waiting:
            connection.close()  # they have given up
    finally:
        daemon.process.send_signal(signal.SIGCONT)
    daemon.serves()


def test_a_child_that_is_killed_is_an_end_for_its_launcher_alone(daemon: Daemon) -> None:
    with folder() as here, daemon.connected() as connection:
        wire.send_request(connection, daemon.request(), (0, 1, 2, here))
        assert connection.recv(1) == wire.TAKEN
        (child,) = children(daemon.process.pid)
        os.kill(child, signal.SIGKILL)
        assert connection.recv(1) == b""
    daemon.serves()


def test_there_is_a_limit_of_processes() -> None:
    """Whoever comes next does the work itself."""
    with running(
        "from sm_proxy.daemon import child\nserver.LIMIT, child._REQUEST_S = 3, 60"
    ) as daemon:
        with contextlib.ExitStack() as held:
            working = [held.enter_context(daemon.connected()) for _ in range(3)]
            await_true(lambda: len(children(daemon.process.pid)) == 3, 60)
            with daemon.connected() as another:
                assert another.recv(1) == b""
            assert len(working) == 3
        await_true(lambda: children(daemon.process.pid) == [], 60)
        daemon.serves()


RANDOM = """
import os, random, secrets, ssl, sys, uuid

def run(words):
    found = [ssl.RAND_bytes(8).hex(), random.random(), secrets.token_hex(8), uuid.uuid4()]
    print(*found, file=sys.stderr)
    return 1
"""


def test_no_two_connections_have_the_same_random_numbers() -> None:
    """Each is a fork of the same process."""
    with running(RANDOM) as daemon, folder() as here:
        lines = [daemon.answer(daemon.request(), (0, 1, 2, here))[1].split() for _ in range(3)]
    assert [len(set(numbers)) for numbers in zip(*lines, strict=True)] == [3, 3, 3, 3]


SIGNAL_MEANWHILE = """
import os
from pathlib import Path
from sm_proxy.daemon.installed import Installed
now = Path(os.environ["HOME"], "now")

def has_changed(self):
    if now.exists() and sys._getframe(2).f_code.co_name == "_reap":
        now.unlink()
        os.kill(os.getpid(), 15)
    return False

Installed.has_changed = has_changed
"""


def test_a_signal_is_not_lost_while_the_daemon_looks_at_its_files() -> None:
    with running(SIGNAL_MEANWHILE) as daemon:
        now = Path(daemon.environment["HOME"], "now")
        now.touch()
        daemon.connected().close()
        assert daemon.process.wait(60) == 0
        assert not now.exists()
