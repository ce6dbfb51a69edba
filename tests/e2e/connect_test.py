"""ssh, scp, sftp, rsync and forwarding with the real OpenSSH client, and a clean end."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.e2e.labs import Lab, code_of, last_line
from tests.soak import SOAK
from tests.waits import await_true

pytestmark = pytest.mark.e2e


def test_a_command_runs_in_the_container(lab: Lab) -> None:
    user = lab.environment["SM_PROXY_LAB_USER"]
    assert lab.ok(lab.host, "id -un").decode().split() == [user]


def test_every_node_is_reached_by_its_name(lab: Lab) -> None:
    for node in ("algo-1", "algo-2"):
        out = lab.ok(f"{lab.host}.{node}", "echo $SM_CURRENT_HOST")
        assert out.decode().strip() == node
    assert lab.ok(f"{lab.host}.2", "echo $SM_CURRENT_HOST").decode().strip() == "algo-2"


def test_the_exit_status_and_both_streams_are_returned(lab: Lab) -> None:
    done = lab.ssh(lab.host, "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout) == (7, b"out\n")
    assert b"err" in done.stderr


def test_stderr_is_silent_on_success(lab: Lab) -> None:
    assert lab.ssh(lab.host, "true").stderr == b""


def test_bytes_pass_unchanged_both_ways(lab: Lab) -> None:
    # The reference client changes a single LF.
    every = bytes(range(256)) + b"\n" * 3 + b"\r\n"
    assert lab.ok(lab.host, "cat", stdin=every) == every


def test_a_large_upload_arrives_complete(lab: Lab, tmp_path: Path) -> None:
    source = tmp_path / "up.bin"
    source.write_bytes(secrets.token_bytes(16 << 20))
    ml = lab.environment["SM_PROXY_LAB_ML_DIR"]
    copied = lab.run(
        "scp", "-qF", lab.config, "-oCompression=no", str(source), f"{lab.host}:{ml}/up.bin"
    )
    assert copied.returncode == 0, copied.stderr
    there = lab.ok(lab.host, f"sha256sum {ml}/up.bin").split()[0].decode()
    assert there == hashlib.sha256(source.read_bytes()).hexdigest()


def test_a_download_arrives_complete(lab: Lab, tmp_path: Path) -> None:
    ml = lab.environment["SM_PROXY_LAB_ML_DIR"]
    size = (16 if SOAK else 1) << 20
    command = f"head -c {size} /dev/urandom > {ml}/whole.bin; sha256sum {ml}/whole.bin"
    there = lab.ok(lab.host, command).split()[0].decode()
    source = f"{lab.host}:{ml}/whole.bin"
    copied = lab.run("scp", "-qF", lab.config, source, str(tmp_path / "down.bin"))
    assert copied.returncode == 0, copied.stderr
    assert hashlib.sha256((tmp_path / "down.bin").read_bytes()).hexdigest() == there


def test_sftp_lists_and_rsync_copies(lab: Lab, tmp_path: Path) -> None:
    ml = lab.environment["SM_PROXY_LAB_ML_DIR"]
    listed = lab.run(
        "sftp", "-qF", lab.config, "-b", "-", lab.host, stdin=f"ls {ml}/checkpoints\n".encode()
    )
    assert b"checkpoint-1.bin" in listed.stdout
    small = tmp_path / "small"
    small.mkdir()
    (small / "a file").write_bytes(secrets.token_bytes(100_000))
    shell = f"ssh -F {lab.config}"
    synced = lab.run("rsync", "-a", "-e", shell, f"{small}/", f"{lab.host}:{ml}/synced/")
    assert synced.returncode == 0, synced.stderr
    back = lab.run("rsync", "-a", "-e", shell, f"{lab.host}:{ml}/synced/", f"{tmp_path}/back/")
    assert back.returncode == 0, back.stderr
    assert (tmp_path / "back" / "a file").read_bytes() == (small / "a file").read_bytes()


def test_vs_code_remote_ssh_can_start(lab: Lab) -> None:
    # A port that is free in the lab's network.
    port = lab.python(
        "import socket\n"
        "with socket.create_server(('127.0.0.1', 0)) as s: answer = s.getsockname()[1]"
    )
    words = ["-F", lab.config, "-T", "-D", str(port), "-o", "ConnectTimeout=15", lab.host, "sh"]
    process = lab.popen("ssh", *words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(b'echo "started ${SSH_CONNECTION#* * }"\n')
        process.stdin.flush()
        word, address, inner = process.stdout.readline().decode().split()
        assert word == "started"
        probe = (
            "import socket,sys\n"
            "s=socket.create_connection(('127.0.0.1',int(sys.argv[1])))\n"
            "s.sendall(b'\\5\\1\\0');s.recv(2)\n"
            "inner=socket.inet_aton(sys.argv[2])+int(sys.argv[3]).to_bytes(2,'big')\n"
            "s.sendall(b'\\5\\1\\0\\1'+inner)\n"
            "s.recv(10);print(s.makefile().readline())\n"
        )
        said = lab.run(sys.executable, "-c", probe, str(port), address, inner)
        assert said.stdout.startswith(b"SSH-2.0-"), said.stderr
    finally:
        process.terminate()
        process.communicate()


def test_the_known_hosts_file_is_private_and_written_before_the_first_byte(lab: Lab) -> None:
    pinned = Path(lab.config).parent / "sm-proxy" / "known_hosts.d" / lab.host
    pinned.unlink(missing_ok=True)
    lab.ok("-o", "StrictHostKeyChecking=yes", lab.host, "true")
    assert pinned.read_text().startswith("* ssh-ed25519 ")
    assert pinned.stat().st_mode & 0o777 == 0o600


def test_ssh_connects_despite_the_users_host_star_block(lab: Lab, tmp_path: Path) -> None:
    """Each of these options alone would break ssh without our block."""
    config = tmp_path / "config"
    harmful = (
        *("Port 2200", "ProxyUseFdpass no", "RemoteCommand false", "SessionType none"),
        *("StdinNull yes", "ForkAfterAuthentication yes", "PreferredAuthentications password"),
        *("PubkeyAuthentication no", "PubkeyAcceptedAlgorithms rsa-sha2-512"),
        *("HostKeyAlgorithms ecdsa-sha2-nistp521", "KnownHostsCommand /bin/false"),
        *("CanonicalizeHostname always", "CanonicalizeFallbackLocal no", "ProxyJump gate"),
        *("HostName gate.example.com", "HostKeyAlias gate", "AddressFamily inet6"),
        *("BindAddress 192.0.2.1", "BindInterface none0", "ConnectionAttempts 3"),
        *("PKCS11Provider /no/token.so", "GSSAPIAuthentication yes", "CheckHostIP yes"),
        *("VerifyHostKeyDNS yes", "HostbasedAuthentication yes", "EnableSSHKeysign yes"),
        *("ControlMaster auto", "ControlPath /tmp/" + "x" * 90),
    )
    lines = "".join(f"    {line}\n" for line in harmful)
    config.write_text(f"{Path(lab.config).read_text()}\nHost *\n{lines}")
    done = lab.run("ssh", "-F", str(config), lab.host, "cat; echo out", stdin=b"in\n")
    assert (done.returncode, done.stdout) == (0, b"in\nout\n"), done.stderr
    told = lab.run("sftp", "-q", "-b", "-", "-F", str(config), lab.host, stdin=b"pwd\n")
    assert b"Remote working directory" in told.stdout, told.stderr


def test_ssh_connects_when_the_agent_offers_nine_keys_first(lab: Lab, tmp_path: Path) -> None:
    """A Host * block has nine IdentityFile lines, and OpenSSH offers the agent's keys first."""
    folder = Path(tempfile.mkdtemp(prefix="sm-proxy-", dir="/tmp"))
    socket = folder / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    try:
        await_true(socket.exists, 20)
        variable = {"SSH_AUTH_SOCK": str(socket)}
        keys = [str(tmp_path / f"key{number}") for number in range(9)]
        for key in keys:
            subprocess.run(["ssh-keygen", "-qt", "ed25519", "-N", "", "-f", key], check=True)
        subprocess.run(["ssh-add", "-q", *keys], env={**os.environ, **variable}, check=True)
        config = tmp_path / "config"
        lines = "".join(f"  IdentityFile {key}\n" for key in keys)
        config.write_text(f"{Path(lab.config).read_text()}\nHost *\n{lines}")
        done = lab.run("ssh", "-F", str(config), lab.host, "echo out", env=variable)
        assert (done.returncode, done.stdout) == (0, b"out\n"), done.stderr
    finally:
        agent.terminate()
        agent.wait()
        shutil.rmtree(folder)


def test_the_helper_ignores_the_users_python_environment(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "types.py").write_text("raise SystemExit('types of somebody else')\n")
    foreign = {
        **dict.fromkeys(("PYTHONPATH", "PYTHONUSERBASE", "VIRTUAL_ENV"), str(tmp_path)),
        **dict.fromkeys(("PYTHONHOME", "PYTHONPLATLIBDIR"), "/nowhere"),
        "PYTHONSTARTUP": str(tmp_path / "types.py"),
        "PYTHONWARNINGS": "error",
        "PYTHONINSPECT": "1",
    }
    done = lab.ssh(lab.host, "echo out", env=foreign, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"out\n", b"")


def test_a_wrong_user_is_refused_before_a_session_starts(lab: Lab) -> None:
    before = sum(call["operation"] == "StartSession" for call in lab.calls())
    done = lab.ssh(f"nobody-we-know@{lab.host}", "true")
    assert done.returncode == 255
    assert code_of(done) == "wrong-user"
    assert f"ssh {lab.environment['SM_PROXY_LAB_USER']}@{lab.host}" in last_line(done)
    assert sum(call["operation"] == "StartSession" for call in lab.calls()) == before


def test_ended_and_killed_clients_leave_no_session(lab: Lab) -> None:
    count = 20 if SOAK else 5
    for _ in range(count):
        lab.ok(lab.host, "true")
    started = [
        lab.popen("ssh", "-F", lab.config, lab.host, "echo up; sleep 600", stdout=subprocess.PIPE)
        for _ in range(count)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
    for process in started:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    lab.settle()
    await_true(lambda: not lab.sessions(), 60, lab.sessions)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_helper_that_gets_a_signal_ends_its_session(lab: Lab, number: int) -> None:
    process = lab.popen(
        "ssh", "-F", lab.config, lab.host, "echo up; sleep 600",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    for pid in lab.helpers():
        os.kill(pid, number)
    _, err = process.communicate(timeout=60)
    assert b"sm-proxy" not in err
    await_true(lambda: not lab.sessions(), 60, lab.sessions)


def test_an_upload_survives_a_cut_websocket(lab: Lab, tmp_path: Path) -> None:
    source = tmp_path / "up.bin"
    source.write_bytes(secrets.token_bytes(4 << 20))
    ml = lab.environment["SM_PROXY_LAB_ML_DIR"]
    with lab.faults(gateway={"cut_client_after_bytes": 1 << 20}):
        copied = lab.run(
            "scp", "-qF", lab.config, "-oCompression=no", str(source), f"{lab.host}:{ml}/cut.bin"
        )
    assert copied.returncode == 0, copied.stderr
    assert any(call["operation"] == "ResumeSession" for call in lab.calls())
    there = lab.ok(lab.host, f"sha256sum {ml}/cut.bin").split()[0].decode()
    assert there == hashlib.sha256(source.read_bytes()).hexdigest()
