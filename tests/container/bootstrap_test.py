"""Into a container that knows nothing of us, through a terminal like that of the agent's shell."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sm_proxy.bootstrap import server
from sm_proxy.bootstrap.server import Started
from sm_proxy_lab.machines import reap
from tests.bootstrap.terminals import session
from tests.soak import cases

from .conftest import SHELLS, Box, needs_container
from .servers_test import ASYNCSSH, DROPBEAR, PYTHON, Laptop, new_key

pytestmark = needs_container
PROGRAM = ["sh", "-c", "echo started; exec sleep 3600"]
JOB = {"JOB_VARIABLE": "it's; $HOME", "LINES": "two\nlines", "IFS": "x", "PS4": "$(exit 1)"}
SERVERS = [
    pytest.param(
        "",
    ),
    pytest.param(DROPBEAR, marks=pytest.mark.skipif(not DROPBEAR, reason="needs dropbear")),
    pytest.param(PYTHON, marks=pytest.mark.skipif(not ASYNCSSH, reason="needs asyncssh")),
]


def no_wheels(version: str, target: str) -> dict[str, bytes]:
    del version, target
    return {}


def run(box: Box, **environment: str) -> subprocess.Popen[str]:
    """Run a job's program without our entrypoint."""
    process = box.start_directly(PROGRAM, **{**JOB, **environment})
    assert process.stdout
    assert process.stdout.readline() == "started\n"
    return process


def inside(box: Box) -> list[str]:
    """The words before a program that make it run in the container."""
    init = reap.descendants(box.started[0].pid)[0]
    tools = ["env", "PATH=/opt/busybox:/usr/bin"] if box.shell == "busybox" else []
    return [
        *("nsenter", f"--target={init}", "--mount", "--pid", "--net", "--root", "--wd"),
        *tools,
    ]


def bootstrapped(box: Box, key: Path, **options: object) -> Started:
    public = " ".join(key.with_suffix(".pub").read_text().split()[:2])
    with session(*inside(box), "/bin/sh", "-i") as shell:
        shell.enter()
        found = server.start(shell, public, no_wheels, print)
        shell.leave()
    return found


def laptop(box: Box, key: Path, found: Started) -> Laptop:
    made = Laptop(box, key)
    made.options += ["-p", str(found.marker.port)]
    made.target = "root@127.0.0.1"
    return made


@pytest.mark.parametrize(
    ("box", "program"),
    cases(
        [pytest.param(shell, *row.values, marks=row.marks) for shell in SHELLS for row in SERVERS],
        [
            pytest.param("sh", *SERVERS[0].values),
            pytest.param("busybox", *SERVERS[1].values, marks=SERVERS[1].marks),
            pytest.param("sh", *SERVERS[2].values, marks=SERVERS[2].marks),
        ],
    ),
    indirect=["box"],
)
def test_ssh_works_after_the_session_has_ended(box: Box, program: str, tmp_path: Path) -> None:
    key, other = new_key(tmp_path / "key"), new_key(tmp_path / "other")
    job = run(box, **({"SM_PROXY_SSHD": program} if program else {}))
    found = bootstrapped(box, key)
    assert found.marker.addresses == ("127.0.0.1",)
    assert found.marker.node == "algo-2"
    user = laptop(box, key, found)
    done = user.ssh('printf %s "$JOB_VARIABLE"')
    assert done.stdout.decode() == JOB["JOB_VARIABLE"], done.stderr
    assert user.ssh("true", key=other).returncode == 255
    # The job's log shows who came, and has no marker: its keys are not for everybody.
    job.kill()
    assert job.stdout
    log = job.stdout.read()
    assert "sm_proxy_marker" not in log
    assert "sm-proxy: sshd: " in log
