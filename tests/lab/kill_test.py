"""When a lab has ended, for any reason, none of its processes and files is left."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sm_proxy_lab.machines import reap
from tests.lab.conftest import ISOLATED
from tests.soak import SOAK, cases, only_in_soak

if TYPE_CHECKING:
    from tests.lab.conftest import Runner

# CMD starts daemons, which ignore signals and have another parent and another session.
COMMAND = """
for i in 1 2 3; do
    (setsid sh -c 'trap "" TERM HUP INT; sleep 1000 & exec sleep 999' >/dev/null 2>&1 &)
done
sleep 0.3; echo up; exec sleep 998
"""
# Runs a command as on a machine where root may make no namespaces. Its sshd needs a user `sshd`.
WITHOUT_NAMESPACES = """
cp -a /etc/. "$0" && echo 'sshd:x:74:74::/:/bin/false' >>"$0/passwd" && mount --bind "$0" /etc &&
exec setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin "$@"
"""
# The processes between the user's shell and CMD.
CHAIN = ("caller", "init", "supervisor")
ONE_OR_TWO = [*CHAIN, "caller supervisor", "init supervisor"]
OF_EACH_KIND = ("--space", "space", "--cluster", "cluster:workers=1")
# With namespaces the kernel ends everything; without, the lab has to find its processes itself.
MACHINES = ["namespaces", "plain"] if ISOLATED else ["plain"]
ON_EACH_MACHINE = cases(MACHINES, MACHINES[-1:])


@pytest.fixture
def machine(request: pytest.FixtureRequest, lab: Runner, tmp_path: Path) -> str:
    """A machine with or without the permission to make namespaces."""
    if ISOLATED and request.param == "plain":
        (tmp_path / "etc").mkdir()
        lab.before = ["unshare", "--mount", "sh", "-c", WITHOUT_NAMESPACES, str(tmp_path / "etc")]
    return str(request.param)


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


def _started(lab: Runner, *words: str) -> tuple[dict[str, int], dict[int, str]]:
    """Start a lab; return the pids of its chain, and every process below the caller."""
    process = lab.start("--network", "loopback", *words, "--", "sh", "-c", COMMAND)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    found: dict[int, str] = {}
    while not _complete(list(found.values())):  # exec and process titles take a moment
        time.sleep(0.02)
        found = {pid: _command_line(pid) for pid in reap.descendants(process.pid)}
    assert lab.left()  # else nothing would be seen that stays
    chain = {"caller": process.pid, "init": next(iter(found)), "supervisor": _part(found)}
    return chain, found


def _complete(lines: list[str]) -> bool:
    listeners = sum("[listener]" in line for line in lines)
    return (lines.count("sleep 999 "), lines.count("sleep 998 ")) == (3, 1) and listeners >= 1


def _part(found: dict[int, str], module: str = "supervisor") -> int:
    return next(pid for pid, line in found.items() if f"sm_proxy_lab.{module}" in line)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _assert_nothing_left(lab: Runner, found: dict[int, str], *, folder: bool = True) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        left = {pid: line for pid, line in found.items() if _running(pid)}
        if not left and not (folder and lab.left()):
            return
        time.sleep(0.02)
    for pid in left:
        _kill(pid)
    raise AssertionError(f"left: {left} {lab.left()}")


@pytest.mark.parametrize(
    ("machine", "victims"),
    cases(
        itertools.product(MACHINES, ONE_OR_TWO),
        [(MACHINES[0], "caller"), *(("plain", who) for who in ONE_OR_TWO[3:])],
    ),
    indirect=["machine"],
)
def test_nothing_is_left_after_sigkill(lab: Runner, machine: str, victims: str) -> None:
    more = OF_EACH_KIND if SOAK or victims == ONE_OR_TWO[3] else ()
    chain, found = _started(lab, *more)
    for victim in victims.split():
        _kill(chain[victim])
    _assert_nothing_left(lab, found)
    status = lab.started[0].wait(timeout=30)
    assert status == (-signal.SIGKILL if "caller" in victims else 125), machine


@pytest.mark.parametrize("machine", ON_EACH_MACHINE, indirect=True)
def test_nothing_is_left_after_sigkill_of_all_with_the_callers_name(
    lab: Runner, machine: str
) -> None:
    chain, found = _started(lab)
    name = _command_line(chain["caller"])
    for pid in [pid for pid in found if _command_line(pid) == name]:
        _kill(pid)
    _kill(chain["caller"])
    _assert_nothing_left(lab, found)
    assert machine


@pytest.mark.skipif(not ISOLATED, reason="needs root")
def test_no_process_is_left_after_sigkill_of_the_whole_chain(lab: Runner) -> None:
    chain, found = _started(lab)
    for victim in CHAIN:
        _kill(chain[victim])
    _assert_nothing_left(lab, found, folder=False)


@pytest.mark.parametrize("machine", ON_EACH_MACHINE, indirect=True)
def test_nothing_is_left_after_sigkill_of_the_callers_process_group(
    lab: Runner, machine: str
) -> None:
    process = lab.start(
        *("--network", "loopback", "--", "sh", "-c", COMMAND), start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    found = {pid: _command_line(pid) for pid in reap.descendants(process.pid)}
    os.killpg(process.pid, signal.SIGKILL)
    _assert_nothing_left(lab, found)
    assert process.communicate(timeout=30) == ("", ""), machine
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("machine", ON_EACH_MACHINE, indirect=True)
def test_nothing_is_left_after_a_second_sigkill_while_the_lab_ends(
    lab: Runner, machine: str
) -> None:
    chain, found = _started(lab)
    command = next(pid for pid, line in found.items() if line == "sleep 998 ")
    _kill(chain["caller"])
    while _running(command):  # from here on init is ending the lab
        time.sleep(0.001)
    _kill(chain["supervisor"])
    _assert_nothing_left(lab, found)
    assert machine


# The quick run also sends SIGTERM during start-up, and SIGINT to `lab up` (run_test).
@pytest.mark.parametrize(
    ("number", "status"),
    cases(
        [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)],
        [(signal.SIGHUP, 129)],
    ),
)
def test_nothing_is_left_after_a_signal(lab: Runner, number: int, status: int) -> None:
    chain, found = _started(lab)
    os.kill(chain["caller"], number)
    assert lab.started[0].wait(timeout=30) == status
    _assert_nothing_left(lab, found)


@pytest.mark.parametrize("module", cases(["aws", "gateway"], ["aws"]))
def test_the_lab_fails_when_one_of_its_parts_dies(lab: Runner, module: str) -> None:
    _, found = _started(lab)
    os.kill(_part(found, module), signal.SIGKILL)
    assert lab.started[0].wait(timeout=30) == 125
    assert lab.started[0].stderr is not None
    assert f"the lab's {module} ended by itself" in lab.started[0].stderr.read()
    _assert_nothing_left(lab, found)


def test_nothing_is_left_after_a_signal_during_start_up(lab: Runner) -> None:
    process = lab.start("--", "sleep", "99")
    while not reap.descendants(process.pid):
        time.sleep(0.01)
    time.sleep(0.3)
    found = {pid: _command_line(pid) for pid in reap.descendants(process.pid)}
    process.terminate()
    assert process.wait(timeout=30) == 143
    _assert_nothing_left(lab, found)


@pytest.mark.parametrize(
    ("machine", "ms"),
    cases(
        itertools.product(MACHINES, range(0, 2000, 20)),
        [(MACHINES[0], 100), ("plain", 400)],
    ),
    indirect=["machine"],
)
def test_nothing_is_left_after_sigkill_of_the_caller_at_any_moment(
    lab: Runner, machine: str, ms: int
) -> None:
    process = lab.start("--network", "loopback", "--", "sleep", "998")
    time.sleep(ms / 1000)
    process.kill()
    until = time.monotonic() + 30
    while (left := _of(lab)) or lab.left():
        assert time.monotonic() < until, (machine, left, lab.left())
        time.sleep(0.05)


def _of(lab: Runner) -> list[int]:
    """The pids of processes whose environment has the lab's folder for temporary files."""
    marked, found = str(lab.folder).encode(), Path("/proc").glob("[0-9]*/environ")
    return [int(path.parent.name) for path in found if marked in _content(path)]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # the process has ended
        return b""


@only_in_soak
@pytest.mark.parametrize("machine", ON_EACH_MACHINE, indirect=True)
def test_nothing_is_left_after_a_normal_end(lab: Runner, machine: str) -> None:
    command = COMMAND.replace("exec sleep 998", "read x; exit 7")
    process = lab.start("--network", "loopback", "--", "sh", "-c", command)
    assert process.wait(timeout=120) == 7, machine
    assert lab.left() == []
