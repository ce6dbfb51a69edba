"""Time windows: the wait before the program, and the time that the container stays after it."""

from __future__ import annotations

import signal
import time

import pytest

from tests.soak import cases

from .conftest import (
    OTHER_SHELL,
    SHELLS,
    Box,
    wait_for,
)

in_sh = pytest.mark.parametrize("box", cases(SHELLS, ["sh"]), indirect=True)
in_other_shell = pytest.mark.parametrize("box", cases(SHELLS, [OTHER_SHELL]), indirect=True)


@in_other_shell
def test_the_container_stays_after_a_failure(box: Box) -> None:
    box.hurry()
    began = time.monotonic()
    code, lines = box.run("sh", "-c", "exit 3", SM_PROXY_KEEP_FAILURE="2s")
    assert code == 3
    assert time.monotonic() - began > 0.9  # its clock counts whole seconds
    expected = "sm-proxy: the program ended with exit code 3; the container stays for 2 s"
    assert expected in lines


@in_sh
def test_the_container_stays_under_a_shell_that_ends_at_errors(box: Box) -> None:
    box.hurry()
    entry = ["bash", "--posix", box.inside("opt/sm-proxy/entrypoint.sh")]
    kept = {"SM_PROXY_KEEP_FAILURE": "1s", "SHELLOPTS": "errexit:nounset"}
    code, lines = box.run_directly([*entry, "sh", "-c", "exit 3"], **kept)
    assert code == 3
    assert "sm-proxy: the program ended with exit code 3; the container stays for 1 s" in lines


def test_a_keep_window_is_for_one_outcome(box: Box) -> None:
    assert box.run("sh", "-c", "exit 0", SM_PROXY_KEEP_FAILURE="1h")[0] == 0
    assert box.run("sh", "-c", "exit 3", SM_PROXY_KEEP_SUCCESS="1h")[0] == 3


@pytest.mark.parametrize("windows", [{}, {"SM_PROXY_KEEP_FAILURE": "1h"}])
def test_no_window_is_open_while_the_program_runs(box: Box, windows: dict[str, str]) -> None:
    """`sm-proxy go` reads the file `window`, with and without a keep window."""
    code, lines = box.run("cat", box.inside("opt/ml/run/window"), **windows)
    assert code == 0
    assert "none" in lines


def test_done_ends_a_keep_window(box: Box) -> None:
    box.hurry()
    process = box.start("sh", "-c", "exit 3", SM_PROXY_KEEP_FAILURE="1h")
    wait_for(box.run_dir / "ready")
    (box.run_dir / "done").touch()
    assert process.wait(timeout=60) == 3


def test_a_signal_reaches_the_program_in_a_window(box: Box) -> None:
    script = "trap 'echo got; exit 5' TERM; echo on; while :; do sleep 0.1; done"
    process = box.start("sh", "-c", script, SM_PROXY_KEEP_FAILURE="1h")
    assert process.stdout is not None
    while process.stdout.readline() != "on\n":
        pass
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert "got" in output.splitlines()
    assert process.returncode == 5


def test_sigterm_ends_a_keep_window(box: Box) -> None:
    process = box.start("sh", "-c", "exit 3", SM_PROXY_KEEP_FAILURE="1h")
    assert process.stdout is not None
    while "stays" not in process.stdout.readline():
        pass
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 3


@in_other_shell
def test_the_wait_ends_when_its_time_is_over(box: Box) -> None:
    box.hurry()
    began = time.monotonic()
    assert box.run("echo", "trained", SM_PROXY_WAIT="2s")[0] == 0
    assert time.monotonic() - began > 0.9  # its clock counts whole seconds


def test_go_ends_the_wait(box: Box) -> None:
    box.hurry()
    process = box.start("sh", "-c", "exit 6", SM_PROXY_WAIT="1h")
    wait_for(box.run_dir / "ready")
    (box.run_dir / "go").touch()
    assert process.wait(timeout=60) == 6


def test_sigterm_ends_the_wait_without_the_program(box: Box) -> None:
    process = box.start("echo", "trained", SM_PROXY_WAIT="1h")
    wait_for(box.run_dir / "sshd_config")
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "trained" not in output
