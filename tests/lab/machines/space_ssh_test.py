"""The ssh server of a space, with the real ssh, scp and sftp."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sm_proxy_lab.machines.space_ssh import SpaceServer
from tests.waits import await_true

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]
_PASS = """
import socket, sys
found = socket.socket(socket.AF_UNIX)
found.connect(sys.argv[1])
socket.send_fds(socket.socket(fileno=1), [b"x"], [socket.recv_fds(found, 1, 1)[1][0]])
"""
"""For ProxyUseFdpass: gives ssh a connection to the server."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def options(tmp_path: Path, home: Path) -> Iterator[list[str]]:
    """The options with which an ssh program reaches the server."""
    server = SpaceServer({"PATH": "/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8"})
    path = tmp_path / "sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client, server.connect() as end:
                    socket.send_fds(client, [b"x"], [end.fileno()])

        thread = threading.Thread(target=serve)
        thread.start()
        words = [sys.executable, "-I", "-S", "-c", f"'{_PASS.strip()}'", str(path)]
        given = {
            "ProxyCommand": " ".join(words),
            "ProxyUseFdpass": "yes",
            "StrictHostKeyChecking": "accept-new",
            "UserKnownHostsFile": str(tmp_path / "known_hosts"),
            "BatchMode": "yes",
            "IdentityAgent": "none",
            "PreferredAuthentications": "none",
        }
        yield ["-F", "none", *(f"-o{name}={value}" for name, value in given.items())]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.fixture
def ssh(options: list[str]) -> Run:
    def run(*words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["ssh", *options, *words], input=stdin, capture_output=True, timeout=60, check=False
        )

    return run


def test_a_command_has_its_three_streams_and_its_status(ssh: Run, home: Path) -> None:
    done = ssh("anybody@space", "cat; pwd; echo oops >&2; exit 7", stdin=b"given\n" * 50_000)
    assert done.returncode == 7
    assert done.stdout == b"given\n" * 50_000 + f"{home}\n".encode()
    assert done.stderr.splitlines()[-1] == b"oops"


def test_the_server_has_the_version_of_go_and_asks_for_no_key(ssh: Run) -> None:
    done = ssh("-v", "sagemaker-user@space", "true")
    assert b"remote software version Go" in done.stderr
    assert re.search(rb'Authenticated to space .* using "none"', done.stderr)


def test_the_server_forwards_neither_an_agent_nor_a_remote_port(ssh: Run) -> None:
    done = ssh("-oExitOnForwardFailure=yes", "-R", "0:localhost:1", "space", "true")
    assert done.returncode == 255
    assert ssh("-A", "space", 'echo "${SSH_AUTH_SOCK-none}"').stdout == b"none\n"


def test_a_terminal_has_a_size_and_job_control(ssh: Run) -> None:
    script = b"stty -a | head -1; echo $TERM; exit 3\n"
    done = ssh("-tt", "space", stdin=script)
    assert done.returncode == 3
    assert b"speed 38400 baud" in done.stdout
    assert b"no job control" not in done.stdout + done.stderr


def test_a_program_in_a_terminal_ends_with_the_client(options: list[str], home: Path) -> None:
    command = f"echo $$ >{home}/pid; exec sleep 3600"
    words = ["ssh", *options, "-tt", "space", command]
    pipe, null = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(words, stdin=pipe, stdout=null, stderr=null) as client:
        await_true(lambda: (home / "pid").exists() and bool((home / "pid").read_text()), 60)
        pid = int((home / "pid").read_text())
        client.kill()
    await_true(lambda: not Path(f"/proc/{pid}").exists(), 60)


def test_the_server_forwards_to_its_own_localhost_only(ssh: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def serve() -> None:
            with server.accept()[0] as client:
                while data := client.recv(100):
                    last = data
                client.sendall(last.upper())

        thread = threading.Thread(target=serve)
        thread.start()
        done = ssh("-W", f"localhost:{port}", "space", stdin=b"hello")
        thread.join()
    assert done.stdout == b"HELLO"
    assert ssh("-W", f"localhost:{port}", "space").returncode == 255  # nothing listens any more
    assert ssh("-W", f"127.0.0.2:{port}", "space").returncode == 255


@pytest.mark.parametrize("protocol", ["-s", "-O"])
def test_files_are_copied_both_ways(
    options: list[str], home: Path, tmp_path: Path, protocol: str
) -> None:
    (tmp_path / "up").mkdir()
    (tmp_path / "up" / "file").write_bytes(bytes(range(256)) * 1000)
    (tmp_path / "up" / "program").write_text("#!/bin/sh\n")
    (tmp_path / "up" / "program").chmod(0o755)
    scp = ["scp", protocol, "-q", "-r", "-p", *options]
    subprocess.run([*scp, str(tmp_path / "up"), "space:there"], check=True, timeout=60)
    assert (home / "there" / "program").stat().st_mode & 0o777 == 0o755
    subprocess.run([*scp, "space:there", str(tmp_path / "down")], check=True, timeout=60)
    assert (tmp_path / "down" / "file").read_bytes() == bytes(range(256)) * 1000
    missing = subprocess.run(
        [*scp, "space:nowhere", str(tmp_path / "x")], capture_output=True, check=False
    )
    assert b"No such file" in missing.stderr


def test_sftp_changes_files(options: list[str], home: Path) -> None:
    (home / "a").write_text("text")
    commands = "rename a b\nmkdir d\nsymlink b l\nchmod 600 b\nls -l\nrm l\nrmdir d\ntruncate\n"
    done = subprocess.run(
        ["sftp", "-b", "-", *options, "space"],
        input=commands.replace("truncate\n", "").encode(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"-rw-------" in done.stdout
    assert [entry.name for entry in home.iterdir()] == ["b"]


def test_each_app_has_a_host_key_of_its_own(tmp_path: Path) -> None:
    assert shutil.which("ssh"), "the tests need OpenSSH"
    first, second = (SpaceServer({"HOME": str(tmp_path)}) for _ in range(2))
    assert first._key.asbytes() != second._key.asbytes()


def test_a_client_that_only_reads_the_greeting_leaves_no_traceback(home: Path) -> None:
    program = f"""
import threading
from sm_proxy_lab.machines.space_ssh import SpaceServer
with SpaceServer({{"HOME": {str(home)!r}}}).connect() as client:
    assert client.recv(100).startswith(b"SSH-2.0-Go")
for thread in threading.enumerate()[1:]:
    thread.join(10)
    assert not thread.is_alive()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
