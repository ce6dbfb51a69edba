"""SM_PROXY_SHELL: the container comes up, and the program waits for `sm-proxy go`."""

from __future__ import annotations

import signal
import subprocess

import pytest

from tests.soak import cases

from .conftest import (
    KEY,
    OTHER_SHELL,
    SHELLS,
    Box,
    marker_of,
    needs_container,
    until_ready,
    wait_for,
)

in_sh = pytest.mark.parametrize("box", cases(SHELLS, ["sh"]), indirect=True)
in_other_shell = pytest.mark.parametrize("box", cases(SHELLS, [OTHER_SHELL]), indirect=True)
SHELL = {"SM_PROXY_SHELL": "yes", "SM_PROXY_AUTHORIZED_KEY": KEY}


def started(box: Box, *program: str, **environment: str) -> subprocess.Popen[str]:
    """The job, once it waits in a container that has ssh."""
    box.hurry()
    process = box.start(*program, **SHELL, **environment)
    for name in ("ready", "command"):
        wait_for(box.run_dir / name)
    assert process.poll() is None
    return process


@in_other_shell
def test_go_starts_the_program_with_its_own_words(box: Box) -> None:
    words = ["it's", "", "a  b", "$HOME", "two\nlines\n", "\u00fc"]
    process = started(box, "printf", "<%s>", *words)
    assert (box.run_dir / "window").read_text() == "shell\n"
    # What it prints can be pasted, and runs the program, too.
    command = (box.run_dir / "command").read_text()
    assert command.startswith("cd ")
    run = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert run.stdout == "".join(f"<{word}>" for word in words)
    (box.run_dir / "go").touch()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert output.count(run.stdout) == 1
    assert f"runs it: {command}" in output


@in_sh
def test_a_connection_does_not_start_the_program(box: Box) -> None:
    process = started(box, "sh", "-c", "exit 6", SM_PROXY_WAIT="1s", SM_PROXY_KEEP_FAILURE="1s")
    (box.run_dir / "connected").touch()
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.5)
    (box.run_dir / "go").touch()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 6
    assert "the container stays for 1 s" in output


@in_sh
def test_done_ends_the_job_without_the_program(box: Box) -> None:
    process = started(box, "echo", "trained")
    (box.run_dir / "done").touch()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "\ntrained" not in output


@in_sh
def test_a_stopped_job_ends_without_the_program(box: Box) -> None:
    process = started(box, "echo", "trained")
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "\ntrained" not in output


@in_sh
@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"SM_PROXY_SSHD": "/no/such/sshd"}, "no sshd in this image: install openssh-server"),
        ({"SM_PROXY_AUTHORIZED_KEY": ""}, "no public key may log in"),
    ],
)
def test_a_job_that_no_user_can_enter_ends_with_the_reason(
    box: Box, environment: dict[str, str], reason: str
) -> None:
    box.hurry()
    code, lines = box.run("echo", "trained", **{**SHELL, **environment})
    assert code == 1
    assert "trained" not in lines
    for name in ("failure", "message"):
        text = (box.root / "opt/ml/output" / name).read_text()
        assert text.startswith("sm-proxy: SM_PROXY_SHELL=yes, but nobody can log in")
        assert text.endswith(f"{reason}\n")


@needs_container
@pytest.mark.parametrize("box", ["sh"], indirect=True)
def test_a_job_without_a_folder_for_ssh_ends_with_the_reason(box: Box) -> None:
    places = "/run /tmp /dev/shm /var/tmp /root /opt/ml"
    box.prelude = f"for place in {places}; do mount -t tmpfs -o ro none $place; done"
    code, lines = box.run("echo", "trained", **SHELL, SM_PROXY_RUN_DIR="")
    assert code == 1
    assert "trained" not in lines
    reason = "no writable folder for run-time files"
    assert [line for line in lines if line.endswith(f"was not started: {reason}")]


@in_sh
def test_the_job_ends_if_its_server_is_killed(box: Box) -> None:
    run = box.inside("opt/ml/run")
    killer = f"(while [ ! -e {run}/kill ]; do sleep 0.1; done; kill -9 $(cat {run}/*.pid)) &"
    box.prelude = killer
    box.replace("shell.sh", "smp_most_missing=60 ", "smp_most_missing=3 ")
    process = started(box, "echo", "trained")
    (box.run_dir / "kill").touch()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "was not started: the ssh server has ended" in output


@in_sh
def test_another_value_is_a_problem_and_the_program_runs(box: Box) -> None:
    code, lines = box.run("sh", "-c", f"{until_ready(box)}; exit 4", SM_PROXY_SHELL="ja")
    assert code == 4
    assert "SM_PROXY_SHELL is neither yes nor no" in marker_of(lines)["problems"]


@in_sh
def test_without_its_file_the_program_runs(box: Box) -> None:
    (box.root / "opt/sm-proxy/shell.sh").unlink()
    code, lines = box.run("sh", "-c", f"{until_ready(box)}; exit 4", **SHELL)
    assert code == 4
    missing = box.inside("opt/sm-proxy/shell.sh")
    assert f"SM_PROXY_SHELL has no effect: {missing} is missing" in marker_of(lines)["problems"]
