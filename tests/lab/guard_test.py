"""What stands between the lab's supervisor and CMD."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Its parent takes a while to go on behind fork(), as on a busy machine.
_SLOW = """
import os, sys, time
from sm_proxy.lab import guard
fork = os.fork
def slow():
    child = fork()
    if child:
        time.sleep(0.5)
    return child
os.fork = slow
guard.main()
"""


@pytest.mark.parametrize("number", ["INT", "QUIT"])
def test_a_terminals_signal_is_for_cmd_from_the_first_moment(number: str, tmp_path: Path) -> None:
    where = [str(os.getpid()), str(os.getpgrp()), str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", _SLOW, *where, "sh", "-c", f"kill -{number} $PPID; exit 4"],
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (4, b"")
    assert tmp_path.exists()
