from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from keyring.errors import KeyringLocked

from sm_proxy.config_writer import offer_keys
from sm_proxy.errors import SmProxyError
from sm_proxy.identity import identities, key_files, passphrases, rotation
from sm_proxy.local import prompt, secret_store
from sm_proxy.local.secret_store import SecretStore
from sm_proxy.settings import Settings
from tests.fakes import MemoryKeyring, tree

KEYGEN = shutil.which("ssh-keygen")


@pytest.fixture
def ring(monkeypatch: pytest.MonkeyPatch) -> MemoryKeyring:
    backend = MemoryKeyring()
    monkeypatch.setattr(secret_store, "find", lambda: SecretStore(backend))
    return backend


def answers(monkeypatch: pytest.MonkeyPatch, *given: str) -> list[str]:
    asked: list[str] = []
    left = list(given)

    def ask(question: str) -> str:
        asked.append(question)
        if not left:
            raise prompt.NobodyToAskError("there is no terminal")
        return left.pop(0)

    monkeypatch.setattr(prompt, "ask", ask)
    return asked


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(ssh_dir=str(tmp_path / "sm-proxy"))


@pytest.mark.skipif(KEYGEN is None, reason="needs ssh-keygen")
@pytest.mark.parametrize("mode", ["random", "auto"])
def test_a_random_passphrase_is_in_the_keyring_only(
    mode: passphrases.Mode, settings: Settings, ring: MemoryKeyring
) -> None:
    key = identities.ensure(settings, lambda: passphrases.make_pair(mode))
    passphrase = passphrases.find_or_ask(key)
    assert len(passphrase) >= 32
    assert key_files.is_encrypted(key.path.read_bytes())
    assert not any(passphrase.encode() in content for content in tree(settings.ssh_folder).values())
    assert KEYGEN is not None
    for word, status in ((passphrase, 0), ("wrong", 255)):
        done = subprocess.run(
            [KEYGEN, "-y", "-P", word, "-f", str(key.path)], capture_output=True, check=False
        )
        assert done.returncode == status
    assert len(ring.items) == 1
    passphrases.forget(key)
    assert not ring.items


def test_a_locked_keyring_is_named_before_the_user_is_asked(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ring: MemoryKeyring,
) -> None:
    """Of a random passphrase, nobody but the keyring knows it."""
    monkeypatch.setattr(secret_store, "_trouble", [])
    key = identities.ensure(settings, lambda: passphrases.make_pair("random"))

    def refuse(*_: str) -> None:
        raise KeyringLocked("Failed to unlock the collection!")

    monkeypatch.setattr(ring, "get_password", refuse)
    asked = answers(monkeypatch, "typed")
    assert passphrases.find_or_ask(key) == "typed"
    assert asked == [f"Passphrase of {key.path}:"]
    told = capsys.readouterr().err
    assert f"may have the passphrase of {key.path}, but tells nothing: it is locked" in told
    assert "Unlock the keyring" in told


def test_a_random_passphrase_needs_a_keyring(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secret_store, "find", lambda: None)
    identities.ensure(settings)
    before = tree(settings.ssh_folder)
    with pytest.raises(SmProxyError, match="no keyring") as caught:
        rotation.rotate(settings, offer_keys, lambda: passphrases.make_pair("random"))
    assert caught.value.code == "missing-dependency"
    assert tree(settings.ssh_folder) == before


def test_a_typed_passphrase_needs_no_keyring(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secret_store, "find", lambda: None)
    answers(monkeypatch, "correct horse", "correct horse", "typed again")
    key = identities.ensure(settings, lambda: passphrases.make_pair("auto"))
    assert key_files.is_encrypted(key.path.read_bytes())
    assert passphrases.find_or_ask(key) == "typed again"


def test_a_typed_passphrase_is_kept_in_the_keyring(
    settings: Settings, ring: MemoryKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = answers(monkeypatch, "correct horse", "correct horse")
    key = identities.ensure(settings, lambda: passphrases.make_pair("ask"))
    assert passphrases.find_or_ask(key) == "correct horse"
    assert len(asked) == 2


@pytest.mark.parametrize("given", [["abcd"], ["one of them", "another"], []])
def test_a_refused_passphrase_changes_nothing(
    given: list[str], settings: Settings, ring: MemoryKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(monkeypatch, *given)
    identities.ensure(settings)
    before = tree(settings.ssh_folder)
    with pytest.raises(SmProxyError) as caught:
        rotation.rotate(settings, offer_keys, lambda: passphrases.make_pair("ask"))
    assert caught.value.code == "bad-passphrase"
    assert tree(settings.ssh_folder) == before
    assert not ring.items


def test_mode_none_encrypts_nothing(settings: Settings, ring: MemoryKeyring) -> None:
    key = identities.ensure(settings, lambda: passphrases.make_pair("none"))
    assert not key_files.is_encrypted(key.path.read_bytes())
    assert not ring.items


def test_no_random_passphrase_for_a_keyring_that_keeps_nothing(
    settings: Settings, ring: MemoryKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing else holds the passphrase, so the new key would be unusable."""
    key = identities.ensure(settings)
    monkeypatch.setattr(ring, "set_password", lambda *_: None)
    with pytest.raises(SmProxyError) as caught:
        rotation.rotate(settings, offer_keys, lambda: passphrases.make_pair("random"))
    assert caught.value.code == "missing-dependency"
    assert identities.ensure(settings) == key
