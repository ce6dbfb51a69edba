"""Our keys in a real ssh-agent."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sm_proxy import cli
from sm_proxy.errors import SmProxyError
from sm_proxy.identity import identities, key_files, ssh_agent
from sm_proxy.local import secret_store
from sm_proxy.local.secret_store import SecretStore
from sm_proxy.settings import Settings
from tests.fakes import MemoryKeyring
from tests.waits import await_true, listens

pytestmark = pytest.mark.skipif(
    shutil.which("ssh-agent") is None, reason="needs OpenSSH's client and agent"
)


@pytest.fixture
def socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    path = tmp_path_factory.mktemp("a") / "s"  # a socket's path must be short
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL)
    await_true(lambda: listens(path), 60, alive=process)
    yield str(path)
    process.terminate()
    process.wait(60)


@pytest.fixture
def encrypted(tmp_path: Path) -> identities.Identity:
    settings = Settings(ssh_dir=str(tmp_path / "sm-proxy"))
    return identities.ensure(settings, lambda: key_files.generate("correct horse"))


def held(socket: str) -> list[str]:
    environment = {"SSH_AUTH_SOCK": socket, "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        ["ssh-add", "-L"], env=environment, capture_output=True, text=True, check=False
    )
    return [line.split()[1] for line in done.stdout.splitlines() if line.startswith("ssh-")]


def test_a_key_is_loaded_and_removed(socket: str, encrypted: identities.Identity) -> None:
    ssh_agent.load(encrypted, "correct horse", 3600, socket)
    assert held(socket) == [encrypted.public_key.split()[1]]
    assert ssh_agent.forget(encrypted, socket)
    assert held(socket) == []
    assert not ssh_agent.forget(encrypted, socket)


@pytest.mark.parametrize("beside", [None, "ssh-ed25519 AAAA another's"])
def test_a_key_without_its_public_half_is_removed(
    beside: str | None, socket: str, encrypted: identities.Identity
) -> None:
    ssh_agent.load(encrypted, "correct horse", 3600, socket)
    public = key_files.public_path(encrypted.path)
    public.unlink()
    if beside:
        public.write_text(beside)
    assert ssh_agent.forget(encrypted, socket)
    assert held(socket) == []


def test_the_agent_drops_the_key_after_its_lifetime(
    socket: str, encrypted: identities.Identity
) -> None:
    ssh_agent.load(encrypted, "correct horse", 1, socket)
    await_true(lambda: held(socket) == [], 60)


def test_a_wrong_passphrase_is_an_error(socket: str, encrypted: identities.Identity) -> None:
    with pytest.raises(SmProxyError, match="not the passphrase") as caught:
        ssh_agent.load(encrypted, "wrong", 0, socket)
    assert caught.value.code == "bad-passphrase"
    assert held(socket) == []


@pytest.mark.parametrize("socket", ["/nowhere/agent", None])
def test_a_missing_agent_is_an_error(
    socket: str | None, encrypted: identities.Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with pytest.raises(SmProxyError, match="no ssh-agent") as caught:
        ssh_agent.load(encrypted, "correct horse", 0, socket)
    assert caught.value.code == "unsupported"
    with pytest.raises(SmProxyError, match="no ssh-agent"):
        ssh_agent.forget(encrypted, socket)


def test_a_missing_ssh_add_is_an_error(
    encrypted: identities.Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SmProxyError) as caught:
        ssh_agent.load(encrypted, "correct horse", 0)
    assert caught.value.code == "missing-dependency"


def test_keys_load_and_revoke_change_the_agent(
    socket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ring = MemoryKeyring()
    monkeypatch.setattr(secret_store, "find", lambda: SecretStore(ring))
    monkeypatch.setenv("SSH_AUTH_SOCK", socket)
    settings = Settings(ssh_dir=str(tmp_path / "keys"))
    monkeypatch.setenv("SM_PROXY_SSH_DIR", str(settings.ssh_folder))
    plain = identities.ensure(settings)
    assert cli.main(["keys", "rotate", "--passphrase"]) == 0
    assert cli.main(["keys", "load", "--lifetime", "1h"]) == 0
    assert "for 1h" in capsys.readouterr().out
    first = identities.ensure(settings)
    assert set(held(socket)) == {key.public_key.split()[1] for key in (plain, first)}
    # A new key gets a passphrase if the one before it has one.
    assert cli.main(["keys", "revoke", "current"]) == 0
    assert held(socket) == [plain.public_key.split()[1]]
    second = identities.ensure(settings)
    assert key_files.is_encrypted(second.path.read_bytes())
    assert [name for _, name in ring.items] == [f"passphrase of {second.public_key.split()[1]}"]
    assert cli.main(["keys", "rotate", "--passphrase", "none"]) == 0
    assert not key_files.is_encrypted(second.path.read_bytes())


def test_revoke_without_an_agent_tells_how_to_remove_the_key_later(
    socket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(ssh_dir=str(tmp_path / "keys"))
    monkeypatch.setenv("SM_PROXY_SSH_DIR", str(settings.ssh_folder))
    ssh_agent.load(identities.ensure(settings), None, 0, socket)
    monkeypatch.setenv("SSH_AUTH_SOCK", "/nowhere/agent")
    assert cli.main(["keys", "revoke", "current"]) == 0
    printed = capsys.readouterr().out
    assert "no ssh-agent can be reached" in printed
    command = next(line for line in printed.splitlines() if "ssh-add" in line)
    environment = {"SSH_AUTH_SOCK": socket, "PATH": "/usr/bin:/bin"}
    subprocess.run(["sh", "-c", command], env=environment, check=True, capture_output=True)
    assert held(socket) == []
    monkeypatch.setenv("SSH_AUTH_SOCK", socket)
    assert cli.main(["keys", "revoke", "current"]) == 0
    assert "ssh-add" not in capsys.readouterr().out
