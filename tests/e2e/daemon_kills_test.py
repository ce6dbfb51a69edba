"""Whatever is killed, and whenever: nothing is left, no byte is lost, and the next ssh works."""

from __future__ import annotations

import functools
import hashlib
import os
import random
import select
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.e2e.labs import Lab
from tests.soak import SOAK
from tests.waits import await_true

pytestmark = pytest.mark.e2e

WHO = ("ssh", "launcher", "daemon", "child", "keeper")
WAYS = (signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP)
PUMPED = "-oProxyUseFdpass=no"
SIZE = 1 << 20
NUMBERS = f"seq 1 {SIZE} | head -c {SIZE}"


@pytest.fixture
def kept(lab: Lab) -> Iterator[Lab]:
    """The lab of a user with a daemon that keeps sessions."""
    with lab.with_daemon(SM_PROXY_KEEP_SESSION="10m") as served:
        served.ok(served.host, "true")
        served.await_daemon()
        yield served


def started(lab: Lab, *words: str) -> subprocess.Popen[bytes]:
    return lab.popen(
        *("ssh", "-F", lab.config, "-oCompression=no", *words),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
    )  # fmt: skip


def children(lab: Lab) -> list[int]:
    """The processes in which the daemon does the work of `connect`."""
    launchers = lab.launchers()
    return [pid for pid in lab.helpers() if pid not in launchers]


def victims(lab: Lab, who: str, ssh: subprocess.Popen[bytes]) -> list[int]:
    """The processes of this kind; none if there is none at this moment."""
    if who == "ssh":
        return [ssh.pid]
    kinds = {"daemon": lab.daemons, "keeper": lab.keepers, "launcher": lab.launchers}
    return kinds[who]() if who in kinds else children(lab)


def kill(pid: int, way: int) -> bool:
    """Kill a process; returns whether it was there."""
    try:
        os.kill(pid, way)
        if way == signal.SIGSTOP:
            os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def is_over(lab: Lab, ssh: subprocess.Popen[bytes], *, passes: bool) -> bool:
    """Whether ssh has seen the end of what was killed, or goes on without it.

    Args:
        lab: where. If the test was slow, a keeper goes on with the connection.
        ssh: it prints a line once it is connected.
        passes: whether what was killed passes ssh a descriptor just before its own end.
    """
    assert ssh.stdout is not None
    connected = passes and bool(select.select([ssh.stdout], [], [], 0)[0])
    return ssh.poll() is not None or connected or bool(lab.carriers())


def test_nothing_is_left_after_a_kill_at_any_moment(kept: Lab) -> None:
    killed = set()
    for number in range(200 if SOAK else len(WHO)):
        who, way = WHO[number % len(WHO)], random.choice(WAYS)  # noqa: S311
        options = [PUMPED] if number % 2 else []
        kept.settle()
        process = started(kept, *options, kept.host, "echo connected; sleep 600")
        time.sleep(random.random() * (1.0 if SOAK else 0.4))  # noqa: S311 - any moment
        found = victims(kept, who, process)
        if found and kill(found[0], way):
            killed.add(who)
            if who in {"launcher", "child"}:
                passes = who == "launcher" and not options
                await_true(functools.partial(is_over, kept, process, passes=passes), 60)
        process.kill()
        process.communicate(timeout=60)  # nobody else has its stderr open
        assert kept.ok(*options, kept.host, "echo ok") == b"ok\n", (who, way)
    kept.settle()
    assert killed > {"ssh"}, "more than what is always there"


def test_the_end_of_the_daemon_costs_its_connections_no_byte(kept: Lab) -> None:
    expected = subprocess.run(["sh", "-c", NUMBERS], capture_output=True, check=True).stdout
    downloads = [started(kept, *options, kept.host, NUMBERS) for options in ([], [PUMPED])]
    first = []
    for process in downloads:
        assert process.stdout is not None
        first.append(process.stdout.read(1000))
    for pid in kept.daemons():
        kill(pid, signal.SIGKILL)
    for process, begun in zip(downloads, first, strict=True):
        rest, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert hashlib.sha256(begun + rest).digest() == hashlib.sha256(expected).digest()
    assert kept.ok(kept.host, "echo ok") == b"ok\n"
    kept.await_daemon()
    assert kept.ok(kept.host, "echo ok") == b"ok\n"


@pytest.mark.parametrize("who", ["child", "keeper"])
def test_a_killed_connection_is_cut_and_no_more(kept: Lab, who: str) -> None:
    kept.settle()
    expected = subprocess.run(["sh", "-c", NUMBERS], capture_output=True, check=True).stdout
    found: list[int] = []
    while not found:  # on a very busy machine, an ssh may do the work itself
        # Pumped, a child is there to the end.
        process = started(kept, *([PUMPED] if who == "child" else []), kept.host, NUMBERS)
        assert process.stdout is not None
        received = process.stdout.read(1000)
        if not (found := victims(kept, who, process)):
            process.communicate(timeout=120)
    for pid in found:
        kill(pid, signal.SIGKILL)
    received += process.communicate(timeout=60)[0]
    assert process.returncode == 255
    assert len(received) < SIZE
    assert expected.startswith(received)
    assert kept.ok(kept.host, "echo ok") == b"ok\n"
