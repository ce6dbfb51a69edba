"""What starts everything, and takes it all down."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import subprocess
import sys

import pytest

from sm_proxy_lab import supervisor
from sm_proxy_lab.machines.processes import Child

_OPTIONS = [field.name for field in dataclasses.fields(supervisor.Options)]


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


def test_a_command_guard_that_was_stopped_is_ended_all_the_same() -> None:
    async def ended() -> int:
        lab = supervisor.Lab(supervisor.Options(**dict.fromkeys(_OPTIONS, "")), -1)  # type: ignore[arg-type]
        script = "trap 'exit 3' USR1; kill -STOP $$; sleep 60"
        # In a session of its own: where a group with somebody stopped in it is orphaned, the kernel
        # hangs up on all of it, and in ours are all tests.
        command_guard = lab._command = Child(["sh", "-c", script], start_new_session=True)
        stopped = os.WSTOPPED | os.WNOWAIT
        await asyncio.to_thread(os.waitid, os.P_PID, command_guard.process.pid, stopped)
        assert lab.end_guard() == command_guard.process.pid
        try:
            return await asyncio.wait_for(command_guard.wait(), 30)
        finally:
            command_guard.send(signal.SIGKILL)

    assert asyncio.run(ended()) == 3
