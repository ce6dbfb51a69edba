"""The job's scripts may call the entrypoint: ssh runs as long as one of its callers."""

from __future__ import annotations

import pytest

from tests.soak import cases

from .conftest import OTHER_SHELL, SHELLS, Box, marker_of, needs_container, until_ready

in_other_shell = pytest.mark.parametrize("box", cases(SHELLS, [OTHER_SHELL]), indirect=True)


def until_gone(box: Box) -> str:
    """A script that waits up to 60 s for ssh to end, and succeeds if it still runs."""
    alive = f"kill -0 $(cat {box.inside('opt/ml/run/sshd.pid')}) 2>/dev/null"
    return f"n=0; while {alive} && [ $n -lt 600 ]; do n=$((n + 1)); sleep 0.1; done; {alive}"


def test_ssh_runs_as_long_as_the_script_that_called_it(box: Box) -> None:
    """After that it keeps no pipe open."""
    box.hurry()
    home = box.inside("opt/sm-proxy")
    caller = f"{home}/real.sh; {until_ready(box)}; echo trained"
    alive = f"kill -0 $(cat {box.inside('opt/ml/run/sshd.pid')}) 2>/dev/null"
    script = f"sh -c '{caller}; {alive} && echo alive' | cat; {until_gone(box)}"
    code, lines = box.run_directly(["sh", "-c", script])
    assert {"trained", "alive"} <= set(lines)
    assert marker_of(lines)["problems"] == ["nobody may log in: SM_PROXY_AUTHORIZED_KEY is not set"]
    assert code != 0


@in_other_shell
def test_all_processes_of_a_node_may_call_it_at_once(box: Box) -> None:
    """With torchrun and mpirun, the first one starts ssh, which runs as long as one of them."""
    # Not shorter: the last process must register while the others still run.
    box.replace("serve.sh", "watch_pause=1 ", "watch_pause=0.5 ")
    entry = f"{box.inside('opt/sm-proxy')}/real.sh"
    alive = f"kill -0 $(cat {box.inside('opt/ml/run/sshd.pid')})"
    last = f"{entry}; {until_ready(box)}; sleep 1.3; {alive} && echo alive"
    others = f"for rank in 1 2 3 4 5 6 7; do sh -c '{entry}; true' & done; wait"
    _, lines = box.run_directly(["sh", "-c", f"{{ sh -c '{last}' & {others}; }} | cat"])
    assert "alive" in lines
    assert "sshd" in marker_of(lines)["features"]


@in_other_shell
def test_ssh_goes_on_if_a_second_script_calls_it(box: Box) -> None:
    """The end of the first script does not end ssh."""
    entry = f"{box.inside('opt/sm-proxy')}/real.sh"
    first = f"{entry}; {until_ready(box)}; sleep 1.2; true"
    second = f"{entry}; sleep 2.5; kill -0 $(cat {box.inside('opt/ml/run/sshd.pid')}) && echo alive"
    _, lines = box.run_directly(["sh", "-c", f"{{ sh -c '{first}'; sh -c '{second}'; }} | cat"])
    assert "alive" in lines


@needs_container
@in_other_shell
def test_ssh_ends_with_its_caller_without_proc(box: Box) -> None:
    box.hurry()
    home, pid = box.inside("opt/sm-proxy"), box.inside("opt/ml/run/sshd.pid")
    caller = f"{home}/real.sh; {until_ready(box)}; sleep 0.8; kill -0 $(cat {pid}) && echo alive"
    script = f"mount -t tmpfs none /proc; sh -c '{caller}' | cat; {until_gone(box)}"
    code, lines = box.run_directly(["sh", "-c", script])
    assert "alive" in lines
    assert code != 0
