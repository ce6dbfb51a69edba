from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from sm_proxy.local import poll
from sm_proxy.local.stdio import DirectStdio, Stdio, ThreadedStdio

BIG = os.urandom(1 << 20) * 10
Make = Callable[[int, int], Stdio]


@dataclass
class Ends:
    """Our side as a Stdio, and ssh's two descriptors."""

    stdio: Stdio
    to_us: int
    from_us: int

    def ssh_reads_all(self) -> bytes:
        with os.fdopen(self.from_us, "rb") as file:
            return file.read()


def connected(make: Make) -> Ends:
    stdin, to_us = os.pipe()
    from_us, stdout = os.pipe()
    return Ends(make(stdin, stdout), to_us, from_us)


def closed(ends: Ends) -> None:
    for descriptor in (ends.to_us, ends.from_us):
        with contextlib.suppress(OSError):
            os.close(descriptor)
    stdio = ends.stdio
    if isinstance(stdio, ThreadedStdio):
        stdio.finish()
        stdio._reader.join(60)
        stdio._near.close()
        stdio._far.close()


@pytest.fixture(params=[DirectStdio, ThreadedStdio])
def ends(request: pytest.FixtureRequest) -> Iterator[Ends]:
    found = connected(request.param)
    yield found
    closed(found)


def readable(stdio: Stdio) -> None:
    assert poll.wait([stdio.stdin], [], [], 60).readable


def written(stdio: Stdio, data: bytes) -> None:
    view = memoryview(data)
    while view:
        poll.wait([], [stdio.stdout], [], 10)
        view = view[stdio.write(view) :]


def read_all(stdio: Stdio) -> bytes:
    parts: list[bytes] = []
    while True:
        readable(stdio)
        if not (data := stdio.read(65536)):
            return b"".join(parts)
        parts.append(data)


def test_bytes_pass_both_ways_until_the_end(ends: Ends) -> None:
    os.write(ends.to_us, b"hello")
    readable(ends.stdio)
    assert ends.stdio.read(100) == b"hello"
    written(ends.stdio, b"answer")
    ends.stdio.finish()
    assert ends.ssh_reads_all() == b"answer"
    os.close(ends.to_us)
    assert read_all(ends.stdio) == b""


def test_ten_megabytes_pass_both_ways_at_once(ends: Ends) -> None:
    got: list[bytes] = []

    def ssh_writes() -> None:
        with os.fdopen(ends.to_us, "wb") as file:
            file.write(BIG)

    def we_read() -> None:
        got.append(read_all(ends.stdio))

    def we_write() -> None:
        written(ends.stdio, BIG)
        ends.stdio.finish()

    threads = [threading.Thread(target=work) for work in (ssh_writes, we_read, we_write)]
    for thread in threads:
        thread.start()
    assert ends.ssh_reads_all() == BIG
    for thread in threads:
        thread.join(60)
    assert got == [BIG]


def test_a_write_does_not_block_when_ssh_does_not_read(ends: Ends) -> None:
    total = 0
    idle = 0
    while idle < 20:
        taken = ends.stdio.write(b"x" * 65536)
        total += taken
        idle = 0 if taken else idle + 1
        if not taken:
            time.sleep(0.002)
    assert 4096 <= total < 8 << 20


def test_the_exit_of_ssh_is_noticed(ends: Ends) -> None:
    assert not ends.stdio.gone()
    os.close(ends.from_us)
    os.close(ends.to_us)
    assert ends.stdio.gone(60)


def test_a_write_without_a_reader_fails(ends: Ends) -> None:
    os.close(ends.from_us)

    def write_on() -> None:
        for _ in range(20_000):  # a writer thread notices it only at its next write
            ends.stdio.write(b"x")
            time.sleep(0.002)

    with pytest.raises(BrokenPipeError):
        write_on()


def test_ssh_that_only_stops_sending_is_not_gone() -> None:
    ends = connected(DirectStdio)
    os.close(ends.to_us)
    assert read_all(ends.stdio) == b""
    assert not ends.stdio.gone()
    ends.stdio.finish()
    assert ends.ssh_reads_all() == b""


def test_the_exit_of_ssh_is_noticed_despite_unread_bytes() -> None:
    ends = connected(DirectStdio)
    os.write(ends.to_us, b"unread")
    os.close(ends.from_us)
    os.close(ends.to_us)
    assert ends.stdio.gone()
    assert ends.stdio.read(10) == b"unread"


def test_one_socket_can_be_both_ends() -> None:
    near, far = socket.socketpair()
    stdio = DirectStdio(near.fileno(), os.dup(near.fileno()))
    with near, far:
        far.sendall(b"hello")
        readable(stdio)
        assert stdio.read(10) == b"hello"
        assert stdio.write(b"answer") == 6
        assert far.recv(10) == b"answer"
        far.shutdown(socket.SHUT_WR)
        assert read_all(stdio) == b""
        assert not stdio.gone()
        far.close()
        assert stdio.gone(60)
    stdio.finish()


def test_a_reset_is_the_end() -> None:
    near, far = socket.socketpair()
    with near:
        far.send(b"x")
        near.send(b"unread by the other side")
        far.close()
        stdio = DirectStdio(near.fileno(), os.dup(near.fileno()))
        assert read_all(stdio) in {b"x", b""}
        stdio.finish()


def test_the_last_bytes_wait_for_a_slow_reader() -> None:
    ends = connected(ThreadedStdio)
    written(ends.stdio, b"x" * 200_000)
    late = threading.Timer(0.1, ends.stdio.finish)
    late.start()
    assert len(ends.ssh_reads_all()) == 200_000
    late.join()
    closed(ends)


def test_prints_go_to_stderr_after_stdout_is_taken() -> None:
    program = (
        "import os, sys\n"
        "from sm_proxy.local import stdio\n"
        "ends = stdio.take_over()\n"
        "print('noise')\n"
        "os.system('echo child')\n"
        "os.write(1, b'raw\\n')\n"
        "ends.write(ends.read(100).upper())\n"
        "assert not os.get_inheritable(ends.stdin)\n"
        "assert not os.get_inheritable(ends.stdout)\n"
        "assert os.popen('cat').read() == sys.stdin.read() == ''\n"
        "sys.stdout.flush()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input=b"ssh bytes", capture_output=True, check=True
    )
    assert done.stdout == b"SSH BYTES"
    assert sorted(done.stderr.split()) == [b"child", b"noise", b"raw"]
