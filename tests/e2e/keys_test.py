"""Keys are rotated and revoked while jobs run."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sm_proxy_lab.machines import namespaces
from tests.e2e.labs import Lab, code_of, running
from tests.waits import await_true, listens

_BUCKET = "client('s3').create_bucket(Bucket='team')"
_S3 = ("--keys-s3", "s3://team/keys/")

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        not namespaces.may_isolate(namespaces.CLONE_NEWNS | namespaces.CLONE_NEWNET),
        reason="containers have their own addresses only in namespaces",
    ),
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab with one job, which accepts only the first key."""
    folder = tmp_path_factory.mktemp("keys")
    train = folder / "train.sh"
    train.write_text("#!/bin/sh\nexec sleep 3600\n")
    train.chmod(0o755)
    with running(folder, "--network", "netns", "--train", str(train)) as lab:
        lab.python(_BUCKET)
        lab.environment.pop("SSH_AUTH_SOCK", None)
        lab.environment["XDG_DATA_HOME"] = str(folder)
        yield lab


def test_a_key_works_until_it_is_revoked(lab: Lab) -> None:
    first = _keys(lab, "list")[0]
    assert accepted(lab, lab.host) == first
    new, old = _keys(lab, "rotate")
    assert old == first
    _launch(lab)
    # The running job accepts only the old key; a job that starts now accepts both.
    assert accepted(lab, lab.host) == old
    assert accepted(lab, "sm-both") == new
    assert _keys(lab, "revoke") == [new]
    refused = lab.ssh(lab.host, "true")
    assert refused.returncode == 255
    assert b"Permission denied (publickey" in refused.stderr
    assert accepted(lab, "sm-both") == new


def test_a_running_job_gets_a_new_key_from_s3(lab: Lab) -> None:
    third, second = _keys(lab, "rotate", *_S3)
    _keys(lab, "revoke", second)  # this key is in the job's environment
    await_true(lambda: lab.ssh("sm-both", "true").returncode == 0, 60)
    assert accepted(lab, "sm-both") == third
    fourth = _keys(lab, "revoke", "current", *_S3)
    assert fourth != [third]
    await_true(lambda: lab.ssh("sm-both", "true").returncode == 255, 60)


def test_a_key_with_a_passphrase_works_through_the_agent(lab: Lab, agent: dict[str, str]) -> None:
    # Let keyring use its file backend: not every machine has a Secret Service.
    lab.environment["PYTHON_KEYRING_BACKEND"] = "keyrings.alt.file.PlaintextKeyring"
    new = _keys(lab, "rotate", "--passphrase", *_S3)[0]
    _keys(lab, "revoke")
    locked = lab.ssh("-o", "BatchMode=yes", "sm-both", "true", env=agent)
    assert locked.returncode == 255
    _keys(lab, "load", "--lifetime", "10m", env=agent)
    await_true(lambda: lab.ssh("sm-both", "true", env=agent).returncode == 0, 60)
    assert accepted(lab, "sm-both", env=agent) == new
    assert _keys(lab, "revoke", "current", "--passphrase", "none", *_S3, env=agent) != [new]
    assert b"no identities" in lab.run("ssh-add", "-l", env=agent).stdout


def test_a_key_that_only_the_agent_has_works(
    lab: Lab, agent: dict[str, str], tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    for words in (("ssh-keygen", "-q", "-N", "", "-f", str(mine)), ("ssh-add", "-q", str(mine))):
        assert lab.run(*words, env=agent).returncode == 0
    mine.unlink()
    named = ("--identity-file", f"{mine}.pub", "--identity-agent", agent["SSH_AUTH_SOCK"])
    done = lab.sm_proxy("config", "write", "--ssh-config", lab.config, *named)
    assert done.returncode == 0, done.stderr.decode()
    (own,) = _keys(lab, "push", *_S3)
    await_true(lambda: lab.ssh("sm-both", "true").returncode == 0, 60)
    assert accepted(lab, "sm-both") == own
    refused = lab.sm_proxy("keys", "rotate")
    assert code_of(refused) == "unsupported"


@pytest.fixture
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The variable for an empty ssh-agent."""
    path = tmp_path_factory.mktemp("a") / "s"  # a socket's path has to be short
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL)
    await_true(lambda: listens(path), 60, alive=process)
    yield {"SSH_AUTH_SOCK": str(path)}
    process.terminate()
    process.wait(60)


def accepted(lab: Lab, host: str, **options: Any) -> str:
    """Connect with the real ssh; return the fingerprint of the key that the server accepts."""
    done = lab.ssh("-v", host, "true", **options)
    assert done.returncode == 0, done.stderr.decode()
    lines = done.stderr.decode().splitlines()
    line = next(line for line in lines if "Server accepts key" in line)
    return next(word for word in line.split() if word.startswith("SHA256:"))


def _keys(lab: Lab, *words: str, **options: Any) -> list[str]:
    """The fingerprints of the keys that ssh offers after `sm-proxy keys ...`."""
    done = lab.warm("keys", *words, "--json", **options)
    assert done.returncode == 0, done.stderr.decode()
    return [key["fingerprint"] for key in json.loads(done.stdout)["data"]["keys"]]


def _launch(lab: Lab) -> None:
    shown = json.loads(lab.warm("keys", "show", "--env", "--json").stdout)["data"]
    assert list(shown["environment"]) == ["SM_PROXY_AUTHORIZED_KEY", "SM_PROXY_AUTHORIZED_KEY_2"]
    both = {"SM_PROXY_KEYS_S3": "s3://team/keys/", "SM_PROXY_REFRESH": "1"}
    lab.launch("both", environment={**shown["environment"], **both}, keep=True)
