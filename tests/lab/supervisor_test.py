"""What starts everything, and takes it all down."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_a_terminals_signal_while_it_starts_is_the_callers(number: int) -> None:
    """The caller starts it with signals held back; its terminal may send one at once."""

    def signalled() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {number})
        os.kill(os.getpid(), number)

    theirs, ours = os.pipe()
    os.close(ours)  # a caller that is gone
    done = subprocess.run(
        [sys.executable, "-m", "sm_proxy_lab.supervisor", str(theirs)],
        pass_fds=[theirs],
        preexec_fn=signalled,
        capture_output=True,
        check=False,
    )
    os.close(theirs)
    assert (done.returncode, done.stderr) == (125, b"")
