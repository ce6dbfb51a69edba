"""`sm-proxy setup`: the first run, later runs, at a terminal, and without credentials."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.waits import await_true, read_until

from .labs import SM_PROXY, Lab, code_of, running

pytestmark = pytest.mark.e2e
JOB = "a-name-of-forty-characters-as-many-are-1"
OTHER = "sm-another-context-"
NO_KEYS = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SESSION_TOKEN": ""}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with running(tmp_path_factory.mktemp("setup"), "--job", JOB) as lab:
        yield lab


def _files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): path.read_bytes() for path in found}


def _key(lab: Lab) -> str:
    lines = lab.ok("-G", lab.host).decode().splitlines()
    return next(line.split()[1] for line in lines if line.startswith("identityfile "))


def test_after_setup_ssh_connects_and_a_second_run_changes_nothing(
    lab: Lab, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    config.write_text("Host other\n    User me\n")
    words = ("setup", "--ssh-config", str(config), "--identity-file", _key(lab))
    done = lab.sm_proxy(*words, "--user", lab.environment["SM_PROXY_LAB_USER"], "--json")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)["data"]
    checks = {check["id"]: check["result"] for check in data["checks"]}
    assert checks == dict.fromkeys(["key", "config", "ssh", "credentials", "bastion"], "passed")
    assert data["environment"]["SM_PROXY_AUTHORIZED_KEY"].startswith("ssh-ed25519 ")
    connected = lab.run("ssh", "-F", str(config), lab.host, "echo $SM_CURRENT_HOST")
    assert connected.stdout == b"algo-1\n", connected.stderr
    before = _files(tmp_path)
    again = lab.sm_proxy("setup", "--ssh-config", str(config))
    assert again.returncode == 0, again.stderr
    assert b"Next: " in again.stdout
    assert _files(tmp_path) == before


@pytest.fixture
def shared(lab: Lab) -> Iterator[str]:
    """A config with two contexts and ControlMaster, in a folder with a short path like a home."""
    with tempfile.TemporaryDirectory(prefix="m", dir="/tmp") as folder:
        config = f"{folder}/config"
        mine = ("--identity-file", _key(lab), "--user", lab.environment["SM_PROXY_LAB_USER"])
        words = ("config", "write", "--ssh-config", config, "--control-master", *mine)
        for more in ((), ("--prefix", OTHER)):
            done = lab.sm_proxy(*words, *more)
            assert done.returncode == 0, done.stderr
        try:
            yield config
        finally:
            lab.run("ssh", "-F", config, "-O", "exit", lab.host)


def test_a_second_ssh_shares_the_first_ones_connection(lab: Lab, shared: str) -> None:
    for _ in range(2):
        done = lab.run("ssh", "-F", shared, lab.host, "echo $SM_CURRENT_HOST")
        assert done.stdout == b"algo-1\n", done.stderr
        assert len(lab.helpers()) == len(lab.sessions()) == 1
    helper = lab.helpers()
    copied = lab.run("scp", "-F", shared, f"{lab.host}:/etc/hostname", "/dev/null")
    assert copied.returncode == 0, copied.stderr
    assert lab.helpers() == helper
    assert b"running" in lab.run("ssh", "-F", shared, "-O", "check", lab.host).stderr
    ended = lab.run("ssh", "-F", shared, "-O", "exit", lab.host)
    assert ended.returncode == 0, ended.stderr
    await_true(lambda: not lab.helpers() and not lab.sessions(), 60, lab.sessions)


def test_a_killed_master_leaves_no_helper(lab: Lab, shared: str) -> None:
    done = lab.run("ssh", "-F", shared, lab.host, "true")
    assert done.returncode == 0, done.stderr
    told = lab.run("ssh", "-F", shared, "-O", "check", lab.host).stderr.decode()
    os.kill(int(told.split("pid=")[1].split(")")[0]), signal.SIGKILL)
    await_true(lambda: not lab.helpers() and not lab.sessions(), 60, lab.sessions)
    # The socket that is left behind does not prevent the next connection.
    done = lab.run("ssh", "-F", shared, lab.host, "echo $SM_CURRENT_HOST")
    assert done.stdout == b"algo-1\n", done.stderr


def test_a_name_too_long_for_a_control_socket_connects(lab: Lab, shared: str) -> None:
    done = lab.run("ssh", "-F", shared, OTHER + JOB, "echo $SM_CURRENT_HOST")
    assert done.stdout == b"algo-1\n", done.stderr
    await_true(lambda: not lab.helpers() and not lab.sessions(), 60, lab.sessions)


def test_the_config_is_written_without_credentials(lab: Lab, tmp_path: Path) -> None:
    config = tmp_path / "config"
    environment = NO_KEYS | {"AWS_EC2_METADATA_DISABLED": "true"}
    done = lab.sm_proxy("setup", "--ssh-config", str(config), env=environment)
    assert done.returncode == 1
    assert code_of(done) == "no-credentials"
    assert b"FAILED" in done.stdout
    assert "Include" in config.read_text()


def test_setup_asks_for_profile_region_and_completion_at_a_terminal(
    lab: Lab, tmp_path: Path
) -> None:
    files = tmp_path / "aws"
    files.write_text("[profile research]\n[profile prod]\nregion = us-east-1\n")
    config = tmp_path / "config"
    environment = NO_KEYS | {
        "AWS_CONFIG_FILE": str(files),
        "AWS_REGION": "",
        "AWS_DEFAULT_REGION": "",
        "AWS_EC2_METADATA_DISABLED": "true",
        "SHELL": "/usr/bin/fish",
        "XDG_CONFIG_HOME": str(tmp_path / "xdg"),
    }
    ours, theirs = pty.openpty()
    process = lab.popen(
        *(*SM_PROXY, "setup", "--ssh-config", str(config)),
        env=environment,
        stdin=theirs,
        stderr=theirs,
        stdout=subprocess.PIPE,
    )
    os.close(theirs)
    shown = read_until(ours, b"Which AWS profile? (research, prod)")
    os.write(ours, b"prod\n")
    shown += read_until(ours, b"Which AWS region")  # botocore reads an empty variable as a region
    os.write(ours, b"us-east-1\n")
    shown += read_until(ours, b"Install tab completion of sm-proxy for fish?")
    os.write(ours, b"y\n")
    out, _ = process.communicate(timeout=60)
    os.close(ours)
    assert b"credentials" in out, shown
    assert (tmp_path / "xdg/fish/completions/sm-proxy.fish").exists()
    recorded = (tmp_path / "sm-proxy" / "config").read_text()
    assert '"profile": "prod", "region": "us-east-1"' in recorded
