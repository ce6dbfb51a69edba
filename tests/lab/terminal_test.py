"""Labs at a terminal: its signals, job control, and who may read it."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from tests import terminals
from tests.lab.conftest import NETWORKS, Runner
from tests.soak import only_in_soak

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LAB = f"{sys.executable} -m sm_proxy lab run --network {NETWORKS[0]} --status Starting --"


class _Terminal:
    """The user's side of a terminal."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._shown = ""

    def type(self, keys: str) -> None:
        os.write(self._descriptor, keys.encode())

    def read_until(self, text: str) -> None:
        """Wait until the screen shows `text`, after the text of the last call."""
        until = time.monotonic() + 60
        while text not in self._shown:
            assert time.monotonic() < until, self._shown
            if select.select([self._descriptor], [], [], 0.2)[0]:
                self._shown += os.read(self._descriptor, 4096).decode()
        self._shown = self._shown.partition(text)[2]


@contextlib.contextmanager
def _shell(lab: Runner, *words: str) -> Iterator[_Terminal]:
    """Run a shell at a terminal of its own."""
    ours, theirs = pty.openpty()
    shell = subprocess.Popen(
        ["sh", *words],
        stdin=theirs, stdout=theirs, stderr=theirs, **terminals.controlling(theirs),
        env={**os.environ, "TMPDIR": str(lab.folder), "PS1": "$ ", "ENV": "", "TERM": "dumb"},
    )  # fmt: skip
    os.close(theirs)
    try:
        yield _Terminal(ours)
    finally:
        shell.kill()
        shell.wait()
        os.close(ours)


def test_ctrl_c_at_a_terminal_reaches_cmd_once(lab: Runner) -> None:
    """The terminal sends the signal to CMD, and the lab waits until CMD has ended."""
    ours, theirs = pty.openpty()
    script = "trap 'echo caught; caught=1' INT; echo on; "
    script += "until [ $caught ]; do sleep 0.05; done; sleep 0.3; exit 4"
    process = lab.start(
        *["--status", "Starting", "--", "sh", "-c", script],
        **terminals.controlling(theirs),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "on\n"
    os.write(ours, b"\x03")
    output, _ = process.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert process.returncode == 4
    assert output == "caught\n"


def test_a_shell_stops_and_resumes_the_lab(lab: Runner, tmp_path: Path) -> None:
    """^Z, fg and bg of a shell with job control; CMD reads the terminal only in the foreground."""
    jobs = tmp_path / "jobs"
    with _shell(lab, "-i") as terminal:
        terminal.type("stty -echo\n")
        terminal.type(f"{LAB} sh -c 'echo be''gun; cat; echo fi''nished'\n")
        terminal.read_until("begun")
        terminal.type("\x1a")
        terminal.read_until("Stopped")
        terminal.type("bg\n")  # in the background, cat's first read stops the job again
        stopped = f"jobs >{jobs}; grep -q Stopped {jobs}"
        terminal.type(f"until {stopped}; do sleep 0.05; done; echo stopped-''again\n")
        terminal.read_until("stopped-again")
        terminal.type("fg\n")
        terminal.type("to-cat\n\x04")
        terminal.read_until("to-cat")
        terminal.read_until("finished")
        terminal.type("echo status-$?\n")
        terminal.read_until("status-0")
    assert lab.left() == []


@only_in_soak
def test_script_reads_the_terminal_after_an_interactive_shell_in_the_lab(lab: Runner) -> None:
    script = f"{LAB} bash --norc -i; echo status-$?; read word; echo got-$word"
    with _shell(lab, "-c", script) as terminal:
        terminal.read_until("$ ")
        terminal.type("exit 3\n")
        terminal.read_until("status-3")
        terminal.type("hello\n")
        terminal.read_until("got-hello")
    assert lab.left() == []
