"""The lab's init, and how the signals of a terminal reach CMD."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.conftest import NETWORKS, Runner, needs_root
from tests.soak import only_in_soak

# The parts of the supervisor that handle signals, without a lab.
_SUPERVISOR = """
import asyncio, os, signal
from sm_proxy_lab import init
from sm_proxy_lab.machines.processes import Child
signal.pthread_sigmask(signal.SIG_BLOCK, init.HELD_BACK)
signal.signal(signal.SIGINT, signal.SIG_DFL)
async def run(*command, prepare=None):
    return await Child(list(command), prepare=prepare).wait()
"""


def _printed(program: str) -> str:
    words = [sys.executable, "-c", _SUPERVISOR + program]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("name", ["SIGINT", "SIGQUIT", "SIGTERM"])
def test_a_signal_that_comes_before_cmd_has_begun_ends_it(name: str) -> None:
    early = f"lambda: os.kill(os.getpid(), signal.{name})"
    program = f"print(asyncio.run(run('sleep', '60', prepare={early})) - signal.{name})"
    assert _printed(program) == "128"


def test_programs_start_with_no_signal_blocked_or_ignored() -> None:
    # Python itself ignores SIGPIPE (number 13) and SIGXFSZ (25).
    program = "asyncio.run(run('grep', '-E', 'Sig(Blk|Ign)', '/proc/self/status'))"
    assert _printed(program).split() == ["SigBlk:", "0" * 16, "SigIgn:", "0" * 16]


@only_in_soak
def test_the_lab_works_if_sigchld_is_ignored(lab: Runner) -> None:
    ignore = "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); "
    lab.before = [sys.executable, "-c", ignore + "os.execv(sys.argv[1], sys.argv[1:])"]
    assert lab.run("--status", "Starting", "--", "sh", "-c", "exit 6")[0] == 6


@only_in_soak
def test_the_lab_works_without_stdin_stdout_and_stderr(lab: Runner) -> None:
    words = [sys.executable, "-m", "sm_proxy", "lab", "run", "--network", NETWORKS[0]]
    words += ["--status", "Starting", "--", "sh", "-c", "exit 4"]
    closed = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *words]
    done = subprocess.run(closed, env={**os.environ, "TMPDIR": str(lab.folder)}, check=False)
    assert (done.returncode, lab.left()) == (4, [])


# Exits with 5 once a process whose parent has ended is gone.
_AWAIT_ORPHAN = """
    pid=$( (sleep 0.2 >/dev/null & echo $!) )
    for _ in $(seq 600); do test -d /proc/$pid || exit 5; sleep 0.05; done
"""


@needs_root
def test_cmd_sees_only_the_labs_processes_and_init_collects_orphans(lab: Runner) -> None:
    script = "tr '\\0' ' ' </proc/1/cmdline; echo; readlink /proc/self/ns/pid"
    script += f"; {_AWAIT_ORPHAN}"
    status, output, _ = lab.run("--status", "Starting", "--", "sh", "-c", script)
    *init, namespace = output.splitlines()
    assert status == 5
    assert "sm_proxy_lab.init" in " ".join(init)
    assert namespace != str(Path("/proc/self/ns/pid").readlink())


# As in a rootless container: root of a user namespace, where a file of /proc is covered.
MASKED_PROC = ["unshare", "--mount", "sh", "-c", "mount --bind /dev/null /proc/version && "]
MASKED_PROC[-1] += 'exec unshare --user --map-root-user --mount "$@"'


@needs_root
def test_lab_works_where_proc_may_not_be_mounted(lab: Runner) -> None:
    lab.before = [*MASKED_PROC, "sh"]
    if subprocess.run([*lab.before, "true"], check=False).returncode:
        pytest.skip("user namespaces are not permitted")
    script = "readlink /proc/self/ns/pid"
    words = ("--network", "loopback", "--status", "Starting", "--", "sh", "-c", script)
    status, namespace, errors = lab.run(*words)
    assert (status, errors) == (0, "")
    assert namespace.strip() == str(Path("/proc/self/ns/pid").readlink())
