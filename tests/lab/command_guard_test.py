"""What stands between the lab's supervisor and CMD."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sm_proxy_lab import command_guard
from tests.lab.conftest import slow_behind_fork


def _arguments(folder: Path, *command: str) -> list[str]:
    """What it is started with: supervisor, the caller's process group, the lab's folder, CMD."""
    return [str(os.getpid()), str(os.getpgrp()), str(folder), *command]


@pytest.mark.parametrize(
    ("script", "status"),
    [*((f"exit {number}", number) for number in (0, 3, 125, 255)), ("kill -USR1 $$", 138)],
)
def test_it_exits_with_the_status_of_cmd(tmp_path: Path, script: str, status: int) -> None:
    words = _arguments(tmp_path, "sh", "-c", script)
    done = subprocess.run([sys.executable, "-m", "sm_proxy_lab.command_guard", *words], check=False)
    assert done.returncode == status


@pytest.mark.parametrize("number", ["INT", "QUIT"])
def test_a_terminals_signal_is_for_cmd_from_the_first_moment(number: str, tmp_path: Path) -> None:
    words = _arguments(tmp_path, "sh", "-c", f"kill -{number} $PPID; exit 4")
    done = subprocess.run(
        [sys.executable, "-c", slow_behind_fork("command_guard"), *words],
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (4, b"")
    assert tmp_path.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_a_terminals_signal_before_there_is_cmd_is_handed_on(number: int, tmp_path: Path) -> None:
    def signalled() -> None:
        command_guard.join(os.getpgrp())
        os.kill(os.getpid(), number)

    words = _arguments(tmp_path, "sh", "-c", "sleep 3; exit 4")
    done = subprocess.run(
        [sys.executable, "-m", "sm_proxy_lab.command_guard", *words],
        preexec_fn=signalled,
        check=False,
    )
    assert done.returncode == 128 + number


def _ignored(pid: int) -> set[int]:
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("SigIgn:"))
    mask = int(line.split()[1], 16)
    return {number for number in range(1, 65) if mask >> (number - 1) & 1}


def test_a_terminals_stop_is_for_cmd_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sm_proxy_lab.command_guard", *_arguments(tmp_path, "cat")]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        until = time.monotonic() + 60
        while not {signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU} <= _ignored(process.pid):
            assert time.monotonic() < until
            time.sleep(0.02)
    assert process.returncode == 0
