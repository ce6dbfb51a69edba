"""The servers that stand in for sshd, driven by the real OpenSSH client."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from sm_proxy.lab import namespaces

from .conftest import ISOLATED, Box, marker_of, wait_for

DROPBEAR = shutil.which("dropbear", path="/usr/sbin:/usr/bin")
PYTHON = "/usr/bin/python3"  # one that the container sees: a user's home is not the container's
_IMPORT = [PYTHON, "-c", "import asyncssh"]
ASYNCSSH = (
    Path(PYTHON).exists()
    and subprocess.run(_IMPORT, capture_output=True, check=False).returncode == 0
)
SERVERS = [
    pytest.param(DROPBEAR, marks=pytest.mark.skipif(not DROPBEAR, reason="needs dropbear")),
    pytest.param(PYTHON, marks=pytest.mark.skipif(not ASYNCSSH, reason="needs asyncssh")),
]


def ssh(box: Box, key: Path, port: int, *words: str) -> subprocess.CompletedProcess[str]:
    """Run ssh as a laptop would, in the network the container hangs on."""
    assert box.cable.netns is not None
    options = ("BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null")
    command = ["ssh", "-F", "none", "-i", str(key), "-p", str(port)]
    command += [word for option in options for word in ("-o", option)]
    with namespaces.entered(box.cable.netns):
        return subprocess.run(
            [*command, *words[:-1], f"root@{box.cable.address}", *words[-1:]],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )


@pytest.mark.skipif(not ISOLATED, reason="needs a container of its own")
@pytest.mark.parametrize("server", SERVERS)
def test_session(box: Box, server: str, tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    job = (
        "sh",
        "-c",
        f"while [ ! -e {box.inside('opt/ml/run/done')} ]; do sleep 0.1; done; exit 7",
    )
    secrets = {"SM_CHANNEL": "it's; $HOME", "CREDENTIALS": "/v2/do-not-print-me"}
    process = box.start(
        *job,
        SM_PROXY_SSHD=server,
        SM_PROXY_AUTHORIZED_KEY=key.with_suffix(".pub").read_text(encoding="utf-8"),
        **secrets,
    )
    wait_for(box.run_dir / "ready", 20)
    asked = 'printf "%s|%s|" "$SM_CHANNEL" "$SM_PROXY_RUN_DIR"; cat >&2; exit 3'
    done = ssh(box, key, 22, asked)
    assert done.returncode == 3, done.stderr
    assert done.stdout == f"it's; $HOME|{box.inside('opt/ml/run')}|"
    terminal = ssh(box, key, 22, "-tt", "tty")
    assert terminal.returncode == 0, terminal.stderr
    assert terminal.stdout.startswith("/dev/pts/")
    assert (box.run_dir / "connected").exists()
    other = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)], check=True)
    assert ssh(box, other, 22, "true").returncode == 255
    assert ssh(box, key, 22, 'touch "$SM_PROXY_RUN_DIR/done"').returncode == 0
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 7
    marker = marker_of(output.splitlines())
    assert {"pty", "forwarding", "environment"} <= set(marker["features"])
    assert marker["host_keys"]
    assert "do-not-print-me" not in output
