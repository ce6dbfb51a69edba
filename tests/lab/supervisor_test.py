"""The lab's supervisor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_the_supervisor_ignores_terminal_signals_while_it_starts(number: int) -> None:
    """Init starts it with these signals blocked, but the terminal may send one at once."""

    def signalled() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {number})
        os.kill(os.getpid(), number)

    theirs, ours = os.pipe()
    os.close(ours)  # as if the caller had ended
    done = subprocess.run(
        [sys.executable, "-m", "sm_proxy_lab.supervisor", str(theirs)],
        pass_fds=[theirs],
        preexec_fn=signalled,
        capture_output=True,
        check=False,
    )
    os.close(theirs)
    assert (done.returncode, done.stderr) == (125, b"")
