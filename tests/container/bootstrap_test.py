"""Into a container that knows nothing of us, through a terminal like that of the agent's shell."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from sm_proxy.bootstrap import server
from sm_proxy.bootstrap.server import Started
from sm_proxy.errors import SmProxyError
from sm_proxy_lab.machines import namespaces, reap
from tests.bootstrap.terminals import session
from tests.soak import cases
from tests.waits import await_true

from .channel_test import bare_python
from .conftest import KEY, SHELLS, Box, needs_container
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


@pytest.mark.parametrize("box", ["sh"], indirect=True)
@pytest.mark.parametrize("program", cases(SERVERS, SERVERS[:2]))
def test_a_second_user_gets_in_as_well_and_nothing_else_changes(
    box: Box, program: str, tmp_path: Path
) -> None:
    mine, yours = new_key(tmp_path / "mine"), new_key(tmp_path / "yours")
    run(box, **({"SM_PROXY_SSHD": program} if program else {}))
    first = bootstrapped(box, mine)
    assert bootstrapped(box, yours).line == first.line
    assert bootstrapped(box, mine).line == first.line
    assert laptop(box, yours, first).ssh("true").returncode == 0
    assert laptop(box, mine, first).ssh("true").returncode == 0
    assert len((box.run_dir / "authorized_keys").read_text().splitlines()) == 2


@pytest.mark.parametrize("box", ["sh"], indirect=True)
def test_only_the_key_that_was_named_gets_in(box: Box, tmp_path: Path) -> None:
    """Neither a key of the job's own variables, nor one of the image."""
    mine, jobs, images = (new_key(tmp_path / name) for name in ("mine", "jobs", "images"))
    public = images.with_suffix(".pub")
    home = "mkdir -p /root/.ssh && cp /opt/ml/image.pub /root/.ssh/authorized_keys"
    shutil.copy(public, box.root / "opt/ml/image.pub")
    box.prelude = f"{home} && chmod 600 /root/.ssh/authorized_keys"
    run(box, SM_PROXY_AUTHORIZED_KEY=jobs.with_suffix(".pub").read_text())
    found = bootstrapped(box, mine)
    assert laptop(box, mine, found).ssh("true").returncode == 0
    assert laptop(box, jobs, found).ssh("true").returncode == 255
    assert laptop(box, images, found).ssh("true").returncode == 255


@pytest.mark.parametrize("box", ["sh"], indirect=True)
def test_the_server_listens_on_loopback_only(box: Box, tmp_path: Path) -> None:
    run(box)
    found = bootstrapped(box, new_key(tmp_path / "key"))
    with pytest.raises(ConnectionRefusedError):
        box.connect(found.marker.port)


@pytest.mark.parametrize("box", ["sh"], indirect=True)
def test_a_port_that_is_taken_is_replaced(
    box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(box)
    key = new_key(tmp_path / "key")
    ports = iter([20_001, 20_002])
    monkeypatch.setattr(secrets, "choice", lambda _: next(ports))
    assert box.cable.netns is not None
    with namespaces.entered(box.cable.netns), socket.create_server(("127.0.0.1", 20_001)):
        found = bootstrapped(box, key)
    assert found.marker.port == 20_002


@pytest.mark.parametrize("box", ["sh"], indirect=True)
@pytest.mark.parametrize(
    ("wheels", "reason"), [({}, "no sshd in this image"), ({"wheels.json": b"[]"}, "no SSH server")]
)
def test_an_image_in_which_no_server_runs_is_refused_with_its_reasons(
    box: Box, wheels: dict[str, bytes], reason: str
) -> None:
    run(box, SM_PROXY_SSHD=bare_python(box))
    asked: list[str] = []

    def fetch(version: str, target: str) -> dict[str, bytes]:
        asked.extend((version, target))
        return wheels

    with session(*inside(box), "/bin/sh", "-i") as shell:
        shell.enter()
        with pytest.raises(SmProxyError, match=reason) as caught:
            server.start(shell, KEY, fetch, print)
    assert caught.value.code == "no-server"
    done = subprocess.run([PYTHON, "--version"], capture_output=True, text=True, check=True)
    assert asked[1] == f"{os.uname().machine}-glibc"
    assert done.stdout.startswith(f"Python {asked[0]}.")


@pytest.mark.parametrize("box", ["sh"], indirect=True)
def test_the_server_ends_with_the_container(box: Box, tmp_path: Path) -> None:
    job = run(box)
    bootstrapped(box, new_key(tmp_path / "key"))
    processes = reap.descendants(job.pid)
    assert len(processes) > 1
    job.kill()
    await_true(lambda: not any(Path(f"/proc/{pid}").exists() for pid in processes), 60)
