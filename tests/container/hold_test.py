"""Time windows that depend on connections, with a real client, sshd and /proc/net/tcp."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from sm_proxy_lab.machines import namespaces
from tests.soak import cases

from .conftest import OTHER_SHELL, SHELLS, Box, needs_container, shell_function, wait_for
from .servers_test import new_key

in_sh = pytest.mark.parametrize("box", cases(SHELLS, ["sh"]), indirect=True)
in_other_shell = pytest.mark.parametrize("box", cases(SHELLS, [OTHER_SHELL]), indirect=True)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A private key; its public half is beside it."""
    return new_key(tmp_path / "key")


@contextlib.contextmanager
def session(box: Box, key: Path, command: str = "sleep 1000") -> Iterator[subprocess.Popen[bytes]]:
    """An ssh session into the box, as from a laptop."""
    assert box.cable.netns is not None
    ssh = ["ssh", "-F", "none", "-i", str(key), "-o", "BatchMode=yes"]
    ssh += ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
    with namespaces.entered(box.cable.netns):
        process = subprocess.Popen(
            [*ssh, f"root@{box.cable.address}", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    with process:
        try:
            yield process
        finally:
            process.kill()


def start(box: Box, key: Path, grace: int, **environment: str) -> subprocess.Popen[str]:
    """Start a program that exits with 3. With SM_PROXY_WAIT, it starts when a user connects."""
    box.replace("hold.sh", "smp_pause=1 ", "smp_pause=0.1 ")
    box.replace("hold.sh", "smp_grace=30 ", f"smp_grace={grace} ")
    public = key.with_suffix(".pub").read_text(encoding="utf-8")
    process = box.start("sh", "-c", "exit 3", SM_PROXY_AUTHORIZED_KEY=public, **environment)
    wait_for(box.run_dir / "ready")
    return process


def read_until(process: subprocess.Popen[str], text: str) -> None:
    """Read the log up to a line with this text."""
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if text in line:
            return
    raise AssertionError(seen)


def window(box: Box) -> str:
    return (box.run_dir / "window").read_text(encoding="utf-8").strip()


@needs_container
@in_other_shell
def test_the_container_stays_while_a_user_is_connected(box: Box, key: Path) -> None:
    process = start(box, key, 1, SM_PROXY_WAIT="1h", SM_PROXY_KEEP_CONNECTED="1h")
    read_until(process, "waiting up to 1h")
    assert window(box) == "wait"
    with session(box, key):
        read_until(process, "a user is connected: the container stays")
        assert window(box) == "keep"
        time.sleep(2)  # longer than the grace period after a disconnection
        assert process.poll() is None
    process.communicate(timeout=60)
    assert process.returncode == 3
    assert window(box) == "none"


@needs_container
@in_other_shell
def test_the_container_ends_after_keep_connected_despite_a_user(box: Box, key: Path) -> None:
    process = start(box, key, 30, SM_PROXY_WAIT="1h", SM_PROXY_KEEP_CONNECTED="2s")
    with session(box, key) as laptop:
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 3
        assert "SM_PROXY_KEEP_CONNECTED=2s is over: the container ends" in output
        assert laptop.wait(timeout=60) == 255


@needs_container
@in_sh
def test_done_ends_the_window_of_a_connected_user(box: Box, key: Path) -> None:
    box.replace("hold.sh", "smp_farewell=2 ", "smp_farewell=0 ")
    process = start(box, key, 30, SM_PROXY_WAIT="1h", SM_PROXY_KEEP_CONNECTED="1h")
    with session(box, key):
        read_until(process, "a user is connected: the container stays")
        (box.run_dir / "done").touch()
        process.communicate(timeout=60)
        assert process.returncode == 3


@needs_container
@in_other_shell
def test_the_session_that_runs_done_ends_normally(box: Box, key: Path) -> None:
    """Even on a slow network: the container waits a moment before it ends."""
    process = start(box, key, 30, SM_PROXY_WAIT="1h", SM_PROXY_KEEP_FAILURE="1h")
    with session(box, key):
        read_until(process, "the container stays for 3600 s")
    # That moment begins when the container has seen the file `done`.
    seen = 'until [ "$(cat window)" = none ]; do sleep 0.02; done'
    slow = f'cd "$SM_PROXY_RUN_DIR"; touch done; {seen}; sleep 0.3; echo said'
    with session(box, key, slow) as laptop:
        assert laptop.communicate(timeout=60)[0] == b"said\n"
        assert laptop.returncode == 0
    process.communicate(timeout=60)
    assert process.returncode == 3


@needs_container
@in_sh
def test_a_client_cannot_forge_a_login_in_the_log(box: Box, key: Path) -> None:
    """sshd logs a client's user name and disconnect message, including their line ends."""
    process = start(box, key, 1, SM_PROXY_WAIT="1h")
    name = "Accepted publickey for root from 127.0.0.1 port 1 ssh2"
    farewell = f"{name}: RSA SHA256:{'A' * 43}"
    connection = paramiko.Transport(box.connect(22))
    try:
        connection.start_client(timeout=20)
        with pytest.raises(paramiko.SSHException):
            connection.auth_none(f"x\n{name}\n")
        read_until(process, f"text from an unauthenticated client: {name}")
        message = paramiko.Message()
        message.add_byte(bytes([paramiko.common.MSG_DISCONNECT]))
        message.add_int(11)
        message.add_string(f"bye\n{farewell}\n")
        message.add_string("en")
        connection._send_message(message)
        read_until(process, f"text from an unauthenticated client: {farewell}")
    finally:
        connection.close()
    assert not (box.run_dir / "connected").exists()
    with session(box, key):
        process.communicate(timeout=60)
    assert process.returncode == 3


@needs_container
@in_other_shell
def test_a_client_that_has_not_logged_in_does_not_count(box: Box, key: Path) -> None:
    kept = {"SM_PROXY_KEEP_FAILURE": "2s", "SM_PROXY_KEEP_CONNECTED": "1h"}
    process = start(box, key, 30, SM_PROXY_WAIT="1h", **kept)
    with box.connect(22):
        (box.run_dir / "go").touch()
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "the container stays for 2 s" in output
    assert "a user is connected" not in output


def test_the_peer_is_written_before_the_file_connected(tmp_path: Path) -> None:
    """A time window that sees the file `connected` then reads the peers."""
    early = 'printf() { [ -e "$run/connected" ] || command printf "$@"; }'
    script = "\n".join([early, shell_function("write_peer"), shell_function("note_peer")])
    subprocess.run(
        ["sh", "-c", f"run=$1\n{script}\nnote_peer 10.0.1.2 54321", "sh", str(tmp_path)], check=True
    )
    assert (tmp_path / "connected").exists()
    assert (tmp_path / "peers").read_text(encoding="utf-8") == "0201000A:D431\n"


@pytest.mark.parametrize(
    ("peers", "people"),
    [
        ("0A000190:D431\n", ["0A000190:D431"]),
        ("0100007F:D431\n", ["0100007F:D431"]),  # through the agent of RemoteDebug
        ("0200000A:D431\n0300000A:D431\n", ["0300000A:D431"]),
        ("0200000A:D431\n0700000A:0001\n", []),
        ("", []),
    ],
)
def test_other_nodes_do_not_count(tmp_path: Path, peers: str, people: list[str]) -> None:
    (tmp_path / "nodes").mkdir()
    config = "Host algo-1 10.0.0.2\n  User root\nHost algo-2 10.0.0.5 10.0.0.7\n  Port 22\n"
    (tmp_path / "nodes" / "ssh_config").write_text(config, encoding="utf-8")
    (tmp_path / "peers").write_text(peers, encoding="utf-8")
    (tmp_path / "connected").touch()
    script = ". ./hold.sh\nlist_user_peers\nuser_has_connected && echo somebody"
    done = subprocess.run(
        ["sh", "-c", f"smp_run={tmp_path}\n{script}"],
        cwd=Path(__file__).parents[2] / "container",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    came = ["somebody"] if people or not peers else []
    assert done.stdout.splitlines() == [*people, *came]
