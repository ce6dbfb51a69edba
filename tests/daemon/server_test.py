"""The daemon's loop, and the processes that answer for it: with a command line of the test."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sm_proxy.daemon import wire
from sm_proxy.daemon.status import Status
from tests.daemon.residents import Asked, Resident
from tests.waits import await_true

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture(scope="module")
def resident(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Resident]:
    found = Resident(tmp_path_factory.mktemp("resident"))
    yield found
    found.stop()
    assert found.process.returncode == 0


def test_a_process_has_all_that_the_launcher_had(resident: Resident, tmp_path: Path) -> None:
    variables = [b"A=1", b"B=x=y", b"EMPTY=", b"\xff=\xfe", b"no variable", b"=nor this"]
    found = resident.told("3", "\udcff", environment=variables, folder=str(tmp_path), umask=0o27)
    assert found["argv"] == ["sm-proxy", "tell", "3", "\udcff"]
    assert found["cwd"] == str(tmp_path)
    assert found["umask"] == 0o27
    assert found["environment"] == {"A": "1", "B": "x=y", "EMPTY": "", "\udcff": "\udcfe"}


def test_a_process_has_nothing_of_the_daemon(resident: Resident) -> None:
    found = resident.told()
    assert found["usual"] == [True] * 4
    assert found["parent"] == resident.process.pid
    assert found["group"] == found["pid"]
    # Its own three, the launcher's connection, the socket to the daemon, and the one of listdir.
    assert len(found["descriptors"]) == 6


def test_the_launcher_gets_the_exit_status(resident: Resident) -> None:
    with resident.asked("tell", "77") as asked:
        asked.go()
        assert asked.status() == 77
        assert asked.word() == b""
        assert asked.err() == b"said\n"


@pytest.mark.parametrize("how", ["crash", "raise"])
def test_a_crashing_process_harms_no_other(resident: Resident, how: str) -> None:
    with resident.asked("wait") as other:
        other.go()
        with resident.asked(how) as broken:
            broken.go()
            assert broken.word() == b""
        assert other.line() == b"waiting\n"
        assert resident.told("0")["parent"] == resident.process.pid


@pytest.mark.parametrize(("code", "status"), [("2", 2), ("None", 0)])
def test_an_exit_is_an_exit_status(resident: Resident, code: str, status: int) -> None:
    """As argparse does for a wrong option, or the help."""
    with resident.asked("exit", code) as asked:
        asked.go()
        assert asked.status() == status


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_a_signal_for_the_launcher_reaches_the_process(resident: Resident, number: int) -> None:
    with resident.asked("wait") as asked:
        asked.go()
        assert asked.line() == b"waiting\n"
        asked.connection.sendall(bytes([number]))
        assert asked.out() == f"hangup {number}\n".encode()
        assert asked.status() == 130


@pytest.mark.parametrize("number", [0, signal.SIGKILL, 255])
def test_no_other_byte_is_taken_for_a_signal(resident: Resident, number: int) -> None:
    with resident.asked("wait") as asked:
        asked.go()
        assert asked.line() == b"waiting\n"
        asked.connection.sendall(bytes([number, signal.SIGHUP]))
        assert asked.out() == b"hangup 1\n"


def test_the_end_of_the_launcher_ends_the_process(resident: Resident) -> None:
    with resident.asked("wait") as asked:
        asked.go()
        assert asked.line() == b"waiting\n"
        asked.connection.shutdown(socket.SHUT_WR)
        assert asked.out() == b"hangup 15\n"


def test_nothing_is_touched_before_the_launcher_says_go(resident: Resident) -> None:
    with resident.asked("tell", "0") as asked:
        assert asked.word() == wire.TAKEN
        asked.connection.shutdown(socket.SHUT_WR)
        assert asked.word() == b""
        assert asked.out() == asked.err() == b""


def test_a_launcher_of_other_code_is_refused(resident: Resident) -> None:
    with resident.asked("tell", "0", identity="other") as asked:
        assert asked.word() == wire.REFUSED
        assert asked.word() == b""
        assert asked.out() == b""


@pytest.mark.parametrize("count", [0, 3])
def test_missing_descriptors_end_a_request(resident: Resident, count: int) -> None:
    with resident.asked("tell", "0", descriptors=[1, 1, 1][:count]) as asked:
        assert asked.word() == b""


def test_a_file_is_no_working_folder(resident: Resident, tmp_path: Path) -> None:
    with (
        (tmp_path / "file").open("w") as file,
        resident.asked("tell", "0", descriptors=[file.fileno()] * 4) as asked,
    ):
        assert asked.word() == b""
    assert (tmp_path / "file").read_bytes() == b""


def test_an_invalid_request_ends_at_once(resident: Resident) -> None:
    with resident.connected() as connection:
        connection.sendall(b"\xff" * 100)
        assert connection.recv(2, socket.MSG_WAITALL) == wire.READY


def test_an_incomplete_request_blocks_no_other(resident: Resident) -> None:
    with resident.connected() as slow:
        slow.sendall(b"\0\0")
        assert resident.told("0")["pid"]
        assert slow.recv(2, socket.MSG_WAITALL) == wire.READY  # then its time is up


def test_a_question_on_the_terminal_goes_back_to_the_launcher(resident: Resident) -> None:
    with resident.asked("ask", "at once") as asked:
        asked.go()
        word, found = wire.receive_word(asked.connection)
        assert word == wire.GIVEN_BACK
        os.write(found[1], b"on its stdout")
        os.write(asked.stdin, b"for its stdin")
        assert os.read(found[0], 100) == b"for its stdin"
        for number in found:
            os.close(number)
        assert asked.out() == b"on its stdout"
        assert asked.word() == b""


def test_no_question_goes_back_once_bytes_have_flown(resident: Resident) -> None:
    with resident.asked("ask", "late") as asked:
        asked.go()
        assert asked.status() == 5
        assert asked.out() == b"bytes"


def test_many_are_answered_at_once(resident: Resident) -> None:
    many = []
    for _ in range(30):
        many.append(resident.asked("wait"))
        many[-1].go()
    assert all(asked.line() == b"waiting\n" for asked in many)
    assert Status.from_json(resident.ask("status")).pid == resident.process.pid
    for asked in many:
        asked.__exit__()
    assert resident.told("0")


def test_the_daemon_ends_when_it_was_idle_for_long_enough(tmp_path: Path) -> None:
    brief = Resident(tmp_path, idle=4)
    with brief.asked("wait") as asked:
        asked.go()
        assert asked.line() == b"waiting\n"
        assert brief.status().ends_in is None
    assert brief.process.wait(60) == 0


def test_asking_for_the_status_does_not_keep_the_daemon_alive(tmp_path: Path) -> None:
    """A connection does, however short it is."""
    watched = Resident(tmp_path, idle=600)

    def idle_for() -> float:
        while (left := watched.status().ends_in) is None:  # the last one that asked has not ended
            time.sleep(0.02)
        return 600 - left

    idle = idle_for()
    time.sleep(0.1)
    assert idle_for() >= idle + 0.1
    began = time.monotonic()
    watched.told("0", "connect", "sm-a")
    assert idle_for() <= time.monotonic() - began
    watched.stop()


def test_the_daemon_sleeps_without_requests(resident: Resident) -> None:
    def wakes() -> int:
        lines = Path(f"/proc/{resident.process.pid}/status").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)

    def settled() -> bool:
        before = wakes()
        time.sleep(0.5)
        return wakes() == before

    await_true(settled, 60)  # what earlier tests have left behind is over


def test_an_outdated_daemon_ends_and_leaves_the_work_to_the_launcher(tmp_path: Path) -> None:
    old = Resident(tmp_path)
    with old.asked("wait") as working:
        working.go()
        assert working.line() == b"waiting\n"
        old.outdated.touch()
        with old.asked("tell", "0") as late:
            assert late.word() == b""
        assert old.process.wait(60) == 0
        working.connection.sendall(bytes([signal.SIGHUP]))  # it goes on to its own end
        assert working.status() == 130


_THREE_END = """
import os, socket
from types import SimpleNamespace
from sm_proxy.daemon.server import Server
from sm_proxy.daemon.status import Connection

asked = []
server = Server(socket.socket(), 1.0, lambda: asked.append(1), SimpleNamespace(), None)
for _ in range(3):
    pid = os.fork()
    if not pid:
        os._exit(0)
    server._working[pid] = Connection(pid, "", 0.0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
server._reap()
print(len(asked), len(server._working))
"""


def test_processes_that_end_together_cost_one_look_at_the_files() -> None:
    command = [sys.executable, "-c", _THREE_END]
    assert subprocess.run(command, check=True, capture_output=True).stdout == b"1 0\n"


def test_an_unreachable_daemon_ends_after_its_connection(tmp_path: Path) -> None:
    """Its socket may have been removed."""
    lost = Resident(tmp_path)
    with lost.asked("wait") as working:
        working.go()
        assert working.line() == b"waiting\n"
        lost.outdated.touch()
    assert lost.process.wait(60) == 0


@pytest.mark.parametrize("kind", ["forks", "untold"])
def test_a_daemon_without_its_socket_ends_at_once(tmp_path: Path, kind: str) -> None:
    lost = Resident(tmp_path, kind)
    with lost.asked("wait") as working:
        working.go()
        assert working.line() == b"waiting\n"
        lost.path.unlink()
        assert lost.process.wait(60) == 0
        working.connection.sendall(bytes([signal.SIGHUP]))  # it goes on to its own end
        assert working.status() == 130


def test_a_killed_daemon_costs_no_connection_anything(tmp_path: Path) -> None:
    killed = Resident(tmp_path)
    with killed.asked("wait") as working:
        working.go()
        assert working.line() == b"waiting\n"
        killed.process.kill()
        killed.process.wait(60)
        working.connection.sendall(bytes([signal.SIGHUP]))
        assert working.status() == 130


def test_stop_ends_the_daemon_and_its_processes(tmp_path: Path) -> None:
    stopped = Resident(tmp_path)
    with stopped.asked("wait") as working:
        working.go()
        assert working.line() == b"waiting\n"
        told = Status.from_json(stopped.ask("stop"))
        assert told.pid == stopped.process.pid
        assert stopped.process.wait(60) == 0
        assert working.out() == b"hangup 15\n"


def test_the_status_names_the_connections(tmp_path: Path) -> None:
    named = Resident(tmp_path)
    with named.asked("wait", "--daemon-idle", "5", "connect", "--user", "u", "sm-a", "22") as asked:
        asked.go()
        assert asked.line() == b"waiting\n"
        await_true(lambda: [each.host for each in named.status().connections] == ["sm-a"], 60)
        os.kill(named.status().connections[0].pid, signal.SIGSTOP)
        named.stop()
        assert asked.out() == b"hangup 15\n"  # a stopped process ends as well


def test_a_spare_process_does_the_same(tmp_path: Path) -> None:
    """As on macOS: started by exec, one at a time."""
    spares = Resident(tmp_path, "spares")

    def ready() -> Asked:
        while True:
            asked = spares.asked("tell", "9", environment=[b"A=1"], folder=str(tmp_path))
            if asked.word() == wire.TAKEN:
                return asked
            asked.__exit__()
            time.sleep(0.02)

    pids = set()
    for _ in range(2):
        with ready() as asked:
            asked.connection.sendall(wire.GO)
            assert asked.status() == 9
            told = asked.out()
            assert b'"environment": {"A": "1"}' in told
            assert f'"cwd": "{tmp_path}"'.encode() in told
            pids.add(told.partition(b'"pid": ')[2].partition(b",")[0])
    assert len(pids) == 2
    await_true(spares.is_ready, 60)
    spares.process.send_signal(signal.SIGTERM)
    assert spares.process.wait(60) == 0
