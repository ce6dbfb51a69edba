"""The servers for images without sshd, with the real OpenSSH client."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sm_proxy_lab.machines import namespaces
from tests.soak import SOAK, cases

from .conftest import ISOLATED, SHELLS, Box, container, marker_of, needs_container, wait_for

DROPBEAR = shutil.which("dropbear", path="/usr/sbin:/usr/bin")
PYTHON = "/usr/bin/python3"  # it exists in the container, too
_IMPORT = [PYTHON, "-c", "import asyncssh"]
ASYNCSSH = (
    Path(PYTHON).exists()
    and subprocess.run(_IMPORT, capture_output=True, check=False).returncode == 0
)
SERVERS = [
    pytest.param(DROPBEAR, marks=pytest.mark.skipif(not DROPBEAR, reason="needs dropbear")),
    pytest.param(PYTHON, marks=pytest.mark.skipif(not ASYNCSSH, reason="needs asyncssh")),
]
_IN_EACH_SHELL = [
    pytest.param(shell, *server.values, marks=server.marks)
    for shell in SHELLS
    for server in SERVERS
]


@needs_container
@pytest.mark.parametrize(
    ("box", "server"),
    cases(_IN_EACH_SHELL, [_IN_EACH_SHELL[0], _IN_EACH_SHELL[-1]]),
    indirect=["box"],
)
def test_a_session_has_the_jobs_environment_and_its_exit_code(
    box: Box, server: str, tmp_path: Path
) -> None:
    key, other = new_key(tmp_path / "key"), new_key(tmp_path / "other")
    laptop = Laptop(box, key)
    job = (
        "sh",
        "-c",
        f"while [ ! -e {box.inside('opt/ml/run/end')} ]; do sleep 0.1; done; exit 7",
    )
    secrets = {"SM_CHANNEL": "it's; $HOME", "CREDENTIALS": "/v2/do-not-print-me"}
    secrets |= {"port": "8080", "user": "me"}  # names that our scripts use
    process = box.start(
        *job,
        SM_PROXY_SSHD=server,
        SM_PROXY_AUTHORIZED_KEY=key.with_suffix(".pub").read_text(encoding="utf-8"),
        **secrets,
    )
    wait_for(box.run_dir / "ready")
    asked = 'printf "%s|" "$SM_CHANNEL" "$SM_PROXY_RUN_DIR" "$port" "$user"; cat >&2; exit 3'
    done = laptop.ssh(asked)
    assert done.returncode == 3, done.stderr
    assert done.stdout.decode() == f"it's; $HOME|{box.inside('opt/ml/run')}|8080|me|"
    terminal = laptop.ssh("-tt", "tty")
    assert terminal.returncode == 0, terminal.stderr
    assert terminal.stdout.startswith(b"/dev/pts/")
    wait_for(box.run_dir / "connected")
    assert laptop.ssh("true", key=other).returncode == 255
    assert laptop.ssh('touch "$SM_PROXY_RUN_DIR/done"').returncode == 0
    assert (box.run_dir / "done").exists()
    (box.run_dir / "end").touch()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 7
    marker = marker_of(output.splitlines())
    assert {"pty", "forwarding", "environment"} <= set(marker["features"])
    assert marker["host_keys"]
    assert "do-not-print-me" not in output


ECHO = """
import os, socket, sys, threading
def echo(connection):
    while data := connection.recv(65536):
        connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)
def serve(listener):
    while True:
        threading.Thread(target=echo, args=listener.accept()[:1], daemon=True).start()
unix = socket.socket(socket.AF_UNIX)
unix.bind(os.environ["SM_PROXY_RUN_DIR"] + "/echo.sock")
unix.listen()
threading.Thread(target=serve, args=[socket.create_server(("127.0.0.1", 7000))]).start()
open(os.environ["SM_PROXY_RUN_DIR"] + "/listening", "w").close()
serve(unix)
"""
LARGE = bytes(range(256)) * (81920 if SOAK else 16384)
"""More than all windows of a channel: 4 MiB, 20 in the soak."""


class Laptop:
    """The OpenSSH programs, run in the network of a container."""

    def __init__(self, box: Box, key: Path) -> None:
        assert box.cable.netns is not None
        self.box, self.key, self._netns = box, key, box.cable.netns
        options = ("BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null")
        self.options = ["-F", "none", *(word for option in options for word in ("-o", option))]
        self.target = f"root@{box.cable.address}"

    def popen(self, *command: str) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        with namespaces.entered(self._netns):
            return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe)

    def run(self, *command: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        process = self.popen(*command)
        try:
            out, err = process.communicate(stdin, 60)
        finally:
            process.kill()
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def words(self, program: str, *words: str, key: Path | None = None) -> list[str]:
        return [program, *self.options, "-i", str(key or self.key), *words]

    def ssh(
        self, *words: str, stdin: bytes = b"", key: Path | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        command = self.words("ssh", *words[:-1], self.target, *words[-1:], key=key)
        return self.run(*command, stdin=stdin)

    def connect(self, port: int) -> socket.socket:
        with namespaces.entered(self._netns):
            return socket.create_connection(("127.0.0.1", port), timeout=60)


def new_key(file: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file)], check=True)
    return file


with_python = pytest.mark.skipif(
    not (ISOLATED and ASYNCSSH), reason="needs a container and asyncssh"
)


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory, sshd: str) -> Iterator[Laptop]:
    """A laptop that may log in to a container whose server is server.py."""
    folder = tmp_path_factory.mktemp("python")
    key = new_key(folder / "key")
    public = key.with_suffix(".pub").read_text(encoding="utf-8")
    with container("sh", folder / "image", sshd) as box:
        box.start(PYTHON, "-c", ECHO, SM_PROXY_SSHD=PYTHON, SM_PROXY_AUTHORIZED_KEY=public)
        wait_for(box.run_dir / "ready")
        wait_for(box.run_dir / "listening")
        yield Laptop(box, key)


@with_python
def test_streams_and_exit_statuses_arrive_complete(laptop: Laptop) -> None:
    echoed = laptop.ssh("cat", stdin=LARGE)
    assert (echoed.returncode, echoed.stdout == LARGE) == (0, True), echoed.stderr
    assert laptop.ssh("head -c 3; exit 5", stdin=LARGE).stdout == b"\0\1\2"
    assert laptop.ssh("exit 42").returncode == 42
    killed = laptop.ssh("-v", "kill -TERM $$")
    assert killed.returncode == 255
    assert b"rtype exit-signal" in killed.stderr
    shown = laptop.ssh("-tt", "stty size; seq 100000; sleep 600 & exit 6")
    assert shown.returncode == 6
    assert shown.stdout.split()[-1] == b"100000"
    # When a client has gone, its terminal hangs up and its pipes end.
    folder = laptop.box.run_dir
    trap = f"trap 'touch {laptop.box.inside('opt/ml/run/hung-up')}; exit' HUP"
    # Set the trap before "up": the client is killed as soon as "up" arrives.
    terminal = f"{trap}; echo up; sleep 600 & wait"
    pipes = "echo up; cat; touch $SM_PROXY_RUN_DIR/ended"
    clients = [
        laptop.popen(*laptop.words("ssh", "-tt", laptop.target, terminal)),
        laptop.popen(*laptop.words("ssh", laptop.target, pipes)),
    ]
    for client in clients:
        assert client.stdout is not None
        assert client.stdout.readline().strip() == b"up"
        client.kill()
        client.communicate()
    wait_for(folder / "hung-up")
    wait_for(folder / "ended")


@with_python
def test_files_go_both_ways(laptop: Laptop, tmp_path: Path) -> None:
    there, back = tmp_path / "there", tmp_path / "back"
    there.write_bytes(LARGE)
    run_dir = laptop.box.inside("opt/ml/run")
    for style in ("-s", "-O"):
        for pair in (
            (there, f"{laptop.target}:{run_dir}/it"),
            (f"{laptop.target}:{run_dir}/it", back),
        ):
            done = laptop.run(*laptop.words("scp", style, *map(str, pair)))
            assert done.returncode == 0, done.stderr
        assert back.read_bytes() == LARGE
        back.unlink()
        missing = laptop.words("scp", style, f"{laptop.target}:/no/such/file", str(back))
        assert laptop.run(*missing).returncode == 1
    batch = f"cd {run_dir}\nrename it moved\nget moved {back}\nrm moved\nls -l\n".encode()
    done = laptop.run(*laptop.words("sftp", "-b", "-", laptop.target), stdin=batch)
    assert done.returncode == 0, done.stderr
    assert back.read_bytes() == LARGE


@with_python
def test_ports_and_sockets_are_forwarded_both_ways(laptop: Laptop) -> None:
    run_dir = laptop.box.inside("opt/ml/run")
    asked = (
        *("-L", "7002:127.0.0.1:7000", "-L", f"7004:{run_dir}/echo.sock", "-D", "7006"),
        # These lead to the laptop and back to the container.
        *("-R", "7001:127.0.0.1:7002", "-L", "7003:127.0.0.1:7001"),
        *("-R", f"{run_dir}/far.sock:127.0.0.1:7002", "-L", f"7005:{run_dir}/far.sock"),
    )
    command = laptop.words("ssh", "-o", "ExitOnForwardFailure=yes", *asked, laptop.target)
    client = laptop.popen(*command, "echo up; exec sleep 600")
    try:
        assert client.stdout is not None
        assert client.stdout.readline() == b"up\n"
        for port in (7002, 7003, 7004, 7005):
            with laptop.connect(port) as connection:
                assert echo(connection) == LARGE[:2000000], port
        with laptop.connect(7006) as connection:
            connection.sendall(b"\5\1\0")
            assert connection.recv(2, socket.MSG_WAITALL) == b"\5\0"
            connection.sendall(b"\5\1\0\3\x09127.0.0.1" + (7000).to_bytes(2, "big"))
            assert connection.recv(10, socket.MSG_WAITALL)[1] == 0
            assert echo(connection) == LARGE[:2000000]
    finally:
        client.kill()
        client.communicate()


def echo(connection: socket.socket) -> bytes:
    """Send 2 MB; return what comes back until the other side closes."""

    def send() -> None:
        connection.sendall(LARGE[:2000000])
        connection.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send)
    sender.start()
    with connection.makefile("rb") as stream:
        received = stream.read()
    sender.join()
    return received


@with_python
def test_a_removed_key_is_refused(laptop: Laptop, tmp_path: Path) -> None:
    other = new_key(tmp_path / "other")
    assert laptop.ssh("true").returncode == 0
    file = laptop.box.run_dir / "authorized_keys"
    before = file.read_bytes()
    for content, admitted in (
        (Path(f"{other}.pub").read_bytes(), [other]),
        (b"", []),
        (before, [laptop.key]),
    ):
        new = file.with_name("authorized_keys.new")
        new.write_bytes(content)
        new.replace(file)
        for key in (laptop.key, other):
            done = laptop.ssh("true", key=key)
            assert (done.returncode == 0) == (key in admitted), done.stderr


STORE = """
s3_tools() { echo curl; }
s3_parse_url() { :; }
s3_with_any_tool() { for name in "$run"/store/*; do cp "$name" "$3/${name##*/}"; done; }
"""


@pytest.mark.skipif(not (ISOLATED and DROPBEAR), reason="needs a container and dropbear")
@pytest.mark.parametrize("box", ["sh"], indirect=True)
def test_dropbear_follows_the_keys_from_s3_but_not_from_nodes(box: Box, tmp_path: Path) -> None:
    key, other = new_key(tmp_path / "key"), new_key(tmp_path / "other")
    (box.root / "opt/sm-proxy/s3.sh").write_text(STORE, encoding="utf-8")
    store = box.run_dir / "store"
    store.mkdir(parents=True)
    (store / "list").write_text("", encoding="utf-8")
    process = box.start(
        "sleep",
        "600",
        SM_PROXY_SSHD=str(DROPBEAR),
        SM_PROXY_AUTHORIZED_KEY=key.with_suffix(".pub").read_text(encoding="utf-8"),
        SM_PROXY_KEYS_S3="s3://team/keys/",
        SM_PROXY_NODES_S3="s3://team/nodes/",
        SM_PROXY_REFRESH="1s",
    )
    wait_for(box.run_dir / "ready")
    marker = json.loads((box.run_dir / "marker").read_text(encoding="utf-8"))
    assert "keys-s3" in marker["features"]
    assert "nodes" not in marker["features"]
    problem = "SM_PROXY_NODES_S3: dropbear cannot bind a key to an address: install openssh-server"
    assert problem in marker["problems"]
    laptop = Laptop(box, key)
    assert laptop.ssh("true", key=other).returncode == 255
    (store / "obj.1").write_bytes(Path(f"{other}.pub").read_bytes())
    for line, code in (("1 keys/other.pub\n", 0), ("", 255)):
        (store / "list").write_text(line, encoding="utf-8")
        until = time.monotonic() + 60
        while laptop.ssh("true", key=other).returncode != code:
            assert time.monotonic() < until, "the change did not reach dropbear"
        assert laptop.ssh("true").returncode == 0
    assert process.poll() is None
    assert not (box.run_dir / "nodes").exists()
