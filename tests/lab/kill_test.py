"""Whoever is killed, nothing is left: no process, no folder."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sm_proxy_lab.machines import reap

if TYPE_CHECKING:
    from tests.lab.conftest import Runner

# CMD with children that hid as well as they could.
COMMAND = """
for i in 1 2 3; do
    (setsid sh -c 'trap "" TERM HUP INT; sleep 1000 & exec sleep 999' >/dev/null 2>&1 &)
done
sleep 0.3; echo up; exec sleep 998
"""


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def _running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def _started(lab: Runner, mode: str) -> tuple[int, dict[int, str]]:
    process = lab.start("--network", mode, "--nodes", "2", "--", "sh", "-c", COMMAND)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    found: dict[int, str] = {}
    while not _complete(list(found.values())):  # programs and titles come a moment later
        time.sleep(0.02)
        found = {pid: _command_line(pid) for pid in reap.descendants(process.pid)}
    return process.pid, found


def _complete(lines: list[str]) -> bool:
    listeners = sum("[listener]" in line for line in lines)
    return (lines.count("sleep 999 "), lines.count("sleep 998 "), listeners) == (3, 1, 2)


def _one(found: dict[int, str], module: str) -> int:
    return next(pid for pid, line in found.items() if f"sm_proxy_lab.{module}" in line)


def _kill(pid: int) -> None:
    # Where a caller was killed before, the supervisor may have ended by itself.
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _assert_nothing_left(lab: Runner, found: dict[int, str]) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        left = {pid: line for pid, line in found.items() if _running(pid)}
        if not left and not lab.left():
            return
        time.sleep(0.02)
    for pid in left:
        _kill(pid)
    raise AssertionError(f"left: {left} {lab.left()}")


@pytest.mark.parametrize("victims", ["caller", "supervisor", "both"])
def test_killed(lab: Runner, mode: str, victims: str) -> None:
    caller, found = _started(lab, mode)
    if victims in {"caller", "both"}:
        os.kill(caller, signal.SIGKILL)
    if victims in {"supervisor", "both"}:
        _kill(_one(found, "supervisor"))
    _assert_nothing_left(lab, found)
    status = lab.started[0].wait(timeout=30)
    assert status == (125 if victims == "supervisor" else -signal.SIGKILL)


def test_killed_one_after_the_other(lab: Runner, mode: str) -> None:
    caller, found = _started(lab, mode)
    command = next(pid for pid, line in found.items() if line == "sleep 998 ")
    os.kill(caller, signal.SIGKILL)
    while _running(command):  # from here on the supervisor is taking the lab down
        time.sleep(0.001)
    _kill(_one(found, "supervisor"))
    _assert_nothing_left(lab, found)


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)],
)
def test_signalled(lab: Runner, number: int, status: int) -> None:
    caller, found = _started(lab, "loopback")
    os.kill(caller, number)
    assert lab.started[0].wait(timeout=30) == status
    _assert_nothing_left(lab, found)


@pytest.mark.parametrize("module", ["aws", "gateway"])
def test_part_that_dies_fails_the_lab(lab: Runner, module: str) -> None:
    _, found = _started(lab, "loopback")
    os.kill(_one(found, module), signal.SIGKILL)
    assert lab.started[0].wait(timeout=30) == 125
    assert lab.started[0].stderr is not None
    assert f"the lab's {module} ended by itself" in lab.started[0].stderr.read()
    _assert_nothing_left(lab, found)


def test_signal_during_start_up(lab: Runner) -> None:
    process = lab.start("--", "sleep", "99")
    while not reap.descendants(process.pid):
        time.sleep(0.01)
    time.sleep(0.3)
    found = {pid: _command_line(pid) for pid in reap.descendants(process.pid)}
    process.terminate()
    assert process.wait(timeout=30) == 143
    _assert_nothing_left(lab, found)


def test_interrupted_while_cmd_is_being_started(lab: Runner) -> None:
    process = lab.start("--status", "Starting", "--", "sleep", "99")
    lines: list[str] = []
    while not any("sm_proxy_lab.command_guard" in line for line in lines):
        lines = [_command_line(pid) for pid in reap.descendants(process.pid)]
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 130


def test_normal_end_leaves_nothing(lab: Runner, mode: str) -> None:
    process = lab.start(
        "--network", mode, "--", "sh", "-c", COMMAND.replace("exec sleep 998", "read x; exit 7")
    )
    assert process.wait(timeout=120) == 7
    assert lab.left() == []
