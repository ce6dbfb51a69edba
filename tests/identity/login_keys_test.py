"""The keys with which a Python program logs in: from files, the keyring, or a real ssh-agent."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.identity import identities, key_files, login_keys, passphrases, ssh_agent
from sm_proxy.identity.key_files import Pair
from sm_proxy.local import secret_store
from sm_proxy.local.secret_store import SecretStore
from sm_proxy.public_key import wire_form
from sm_proxy.settings import Settings
from tests.fakes import MemoryKeyring
from tests.waits import await_true, listens


@pytest.fixture(autouse=True)
def _no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.setattr(secret_store, "find", lambda: None)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(ssh_dir=str(tmp_path / "sm-proxy"))


@pytest.fixture
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if shutil.which("ssh-agent") is None:
        pytest.skip("needs OpenSSH's agent")
    path = tmp_path_factory.mktemp("a") / "s"  # a socket's path must be short
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL)
    await_true(lambda: listens(path), 60, alive=process)
    yield str(path)
    process.terminate()
    process.wait(60)


def offered(settings: Settings) -> list[bytes]:
    with login_keys.opened(settings, paramiko) as keys:
        return [key.asbytes() for key in keys]


def test_a_first_run_makes_our_key_and_offers_it(settings: Settings) -> None:
    assert offered(settings) == [wire_form(identities.ensure(settings).public_key)]


def test_the_previous_key_is_offered_after_the_current_one(settings: Settings) -> None:
    current = identities.ensure(settings)
    old = key_files.generate()
    identities.write_identity(current.path.with_name("id_ed25519.1"), old)
    expected = [wire_form(current.public_key), wire_form(old.public)]
    assert offered(settings) == expected


def test_the_keyring_knows_the_passphrase(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = SecretStore(MemoryKeyring())
    monkeypatch.setattr(secret_store, "find", lambda: ring)
    key = identities.ensure(settings, lambda: passphrases.make_pair("random"))
    assert offered(settings) == [wire_form(key.public_key)]
    ring.save(f"passphrase of {key.public_key.split()[1]}", "another one")
    assert failure(settings).code == "bad-passphrase"


def failure(settings: Settings) -> SmProxyError:
    with pytest.raises(SmProxyError) as caught:
        offered(settings)
    return caught.value


def locked() -> Pair:
    return key_files.generate("correct horse")


def test_without_a_passphrase_it_says_what_to_do(settings: Settings, tmp_path: Path) -> None:
    key = identities.ensure(settings, locked)
    assert failure(settings).hint == "Run: sm-proxy keys load"
    users = tmp_path / "my key"
    shutil.copy(key.path, users)
    shutil.copy(key_files.public_path(key.path), key_files.public_path(users))
    own = Settings(ssh_dir=settings.ssh_dir, identity_file=str(users))
    assert failure(own).hint == f"Run: ssh-add '{users}'"


@pytest.mark.parametrize("named", [True, False])
def test_an_agent_signs_for_a_key_with_a_passphrase(
    settings: Settings, agent: str, monkeypatch: pytest.MonkeyPatch, *, named: bool
) -> None:
    key = identities.ensure(settings, locked)
    ssh_agent.load(key, "correct horse", 0, agent)
    if named:
        settings = Settings(ssh_dir=settings.ssh_dir, identity_agent=agent)
    else:
        monkeypatch.setenv("SSH_AUTH_SOCK", agent)
    with login_keys.opened(settings, paramiko) as (found,):
        signed = paramiko.Message(found.sign_ssh_data(b"data"))
    assert paramiko.Ed25519Key(data=wire_form(key.public_key)).verify_ssh_sig(b"data", signed)
    silent = Settings(ssh_dir=settings.ssh_dir, identity_agent="none")
    assert failure(silent).code == "bad-passphrase"


def test_an_agent_that_hangs_is_given_up(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("a") / "s"
    monkeypatch.setattr(login_keys, "_AGENT_S", 0.1)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen()
        asked = Settings(ssh_dir=settings.ssh_dir, identity_agent=str(path))
        assert len(offered(asked)) == 1
