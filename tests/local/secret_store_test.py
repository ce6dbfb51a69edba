"""What the keyring keeps; a keyring that fails or hangs counts as missing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from keyring import core
from keyring.backends import chainer, fail, null
from keyring.errors import InitError, KeyringError, KeyringLocked
from keyrings.alt.file import PlaintextKeyring

from sm_proxy.local import output, secret_store
from sm_proxy.local.secret_store import SecretStore
from tests.fakes import MemoryKeyring, tree
from tests.waits import await_true


@pytest.mark.parametrize("size", [0, 1, 999, 1000, 1001, 3500])
def test_a_saved_value_of_any_size_is_loaded(size: int) -> None:
    backend = MemoryKeyring()
    chain = SecretStore(backend, piece=1000)
    value = ("token/+=" * 500)[:size]
    assert chain.save("a", value)
    assert chain.load("a") == value
    assert all(len(item) <= 1024 for item in backend.items.values())
    assert len(backend.items) == max(1, -(-size // 1000))


def test_every_item_fits_into_the_windows_limit() -> None:
    """CredWrite takes 2,560 bytes of UTF-16."""
    backend = MemoryKeyring()
    SecretStore(backend, piece=1000).save("a", "x" * 5000)
    assert max(len(item.encode("utf-16-le")) for item in backend.items.values()) <= 2560


def test_a_shorter_value_replaces_all_of_a_longer_one() -> None:
    backend = MemoryKeyring()
    chain = SecretStore(backend, piece=10)
    chain.save("a", "x" * 95)
    chain.save("a", "short")
    assert list(backend.items) == [("sm-proxy", "a")]
    chain.forget("a")
    assert backend.items == {}
    assert chain.load("a") is None


def test_an_incomplete_value_is_not_loaded() -> None:
    backend = MemoryKeyring()
    chain = SecretStore(backend, piece=10)
    chain.save("a", "x" * 30)
    kept = backend.items["sm-proxy", "a"]
    chain.save("a", "y" * 30)
    backend.items["sm-proxy", "a"] = kept
    assert chain.load("a") is None
    del backend.items["sm-proxy", "a#2"]
    assert chain.load("a") is None
    for nonsense in ("", "nonsense", "0 x y", "9999 x y", "\N{SUPERSCRIPT TWO} x y"):
        backend.items["sm-proxy", "a"] = nonsense
        assert chain.load("a") is None


def test_a_keyring_that_fails_keeps_nothing() -> None:
    chain = SecretStore(fail.Keyring())  # type: ignore[no-untyped-call]
    assert chain.load("a") is None
    assert chain.save("a", "b") is False
    chain.forget("a")


def test_a_keyring_that_loses_what_it_accepts_is_noticed() -> None:
    backend = MemoryKeyring()
    backend.set_password = lambda *_: None  # type: ignore[method-assign]
    assert SecretStore(backend).save("a", "b") is False


class PromptDismissedException(Exception):  # noqa: N818 - secretstorage's name
    """Raised for the Secret Service if the user closes the window."""


class Hanging(MemoryKeyring):
    """A keyring that answers only after its owner has unlocked it."""

    def __init__(self) -> None:
        super().__init__()
        self.owner = threading.Event()

    def get_password(self, service: str, username: str) -> str | None:
        self.owner.wait(60)
        return super().get_password(service, username)


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    backend = Hanging()
    yield backend
    backend.owner.set()
    for work in secret_store._hanging:
        work.settled(60)
    secret_store._trouble.clear()


def test_a_keyring_that_hangs_is_given_up_after_ten_seconds() -> None:
    assert (secret_store._REPORT_AFTER_S, secret_store._PATIENCE_S) == (2, 10)


def test_the_user_is_told_that_a_keyring_waits(
    hanging: Hanging, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(secret_store, "_REPORT_AFTER_S", 0.05)
    monkeypatch.setattr(secret_store, "_PATIENCE_S", 0.1)
    chain = SecretStore(hanging)
    began = time.monotonic()
    assert chain.load("a") is None
    first, last = capsys.readouterr().err.splitlines()
    assert "waiting for this system's keyring" in first
    assert "going on without the keyring" in last
    assert "did not answer" in secret_store.trouble()
    assert secret_store.remedy().startswith("Unlock the keyring (")
    monkeypatch.setattr(secret_store, "_PATIENCE_S", 60)
    assert (chain.load("a"), chain.save("a", "b"), secret_store.find()) == (None, False, None)
    assert time.monotonic() - began < 40, "we wait for it only once"
    assert "did not answer" in secret_store.trouble()
    hanging.owner.set()
    await_true(lambda: chain.save("a", "b"), 60)  # its owner has unlocked it
    assert chain.load("a") == "b"
    assert secret_store.trouble() == ""


def test_a_keyring_unlocked_in_time_is_used(
    hanging: Hanging, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(secret_store, "_REPORT_AFTER_S", 0.01)
    monkeypatch.setattr(secret_store, "_PATIENCE_S", 60)
    hanging.items["sm-proxy", "a"] = "1 tag b"
    monkeypatch.setattr(output, "status", lambda _: hanging.owner.set())
    assert SecretStore(hanging).load("a") == "b"
    assert secret_store.trouble() == ""


def test_a_locked_and_a_broken_keyring_have_different_reasons() -> None:
    class Failing(MemoryKeyring):
        error: Exception = KeyringLocked("Failed to unlock the collection!")

        def get_password(self, *_: str) -> str | None:
            raise self.error

    backend = Failing()
    chain = SecretStore(backend)
    assert chain.load("a") is None
    assert secret_store.trouble() == "it is locked"
    assert secret_store.remedy().startswith("Unlock the keyring (")
    for error in (PromptDismissedException("x"), KeyringError("Can't get it: (-25308, 'Unknown')")):
        backend.error = error
        assert chain.load("a") is None
        assert secret_store.trouble() == "it is locked"
    backend.error = InitError("Failed to create\nthe collection")
    assert chain.save("a", "b") is False
    assert secret_store.trouble() == "InitError: Failed to create the collection"
    assert secret_store.remedy().startswith("Repair the keyring (InitError")
    assert SecretStore(MemoryKeyring()).load("a") is None
    assert secret_store.trouble() == ""  # a missing item is not a failure


def found(
    monkeypatch: pytest.MonkeyPatch, backend: object, named: object = None
) -> SecretStore | None:
    monkeypatch.setattr(core, "load_env", lambda: None)
    monkeypatch.setattr(core, "load_config", lambda: named)
    monkeypatch.setattr(core, "get_keyring", lambda: backend)
    return secret_store.find()


class Weak(MemoryKeyring):
    priority = 0.5


def test_a_weak_backend_is_used_only_if_the_user_chooses_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert found(monkeypatch, MemoryKeyring()) is not None
    assert found(monkeypatch, Weak()) is None
    assert found(monkeypatch, fail.Keyring()) is None  # type: ignore[no-untyped-call]
    assert found(monkeypatch, fail.Keyring(), named=Weak()) is not None  # type: ignore[no-untyped-call]
    assert found(monkeypatch, MemoryKeyring(), named=null.Keyring()) is None  # type: ignore[no-untyped-call]


def test_only_strong_backends_of_a_chain_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    chained = chainer.ChainerBackend()  # type: ignore[no-untyped-call]
    strong, weak = MemoryKeyring(), Weak()
    monkeypatch.setattr(chainer.ChainerBackend, "backends", [weak, strong])
    chain = found(monkeypatch, chained)
    assert chain is not None
    chain.save("a", "b")
    assert (len(strong.items), len(weak.items)) == (1, 0)
    monkeypatch.setattr(chainer.ChainerBackend, "backends", [weak])
    assert found(monkeypatch, chained) is None


def test_a_backend_named_by_a_variable_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    assert secret_store.find() is None
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "no.such.Backend")
    assert secret_store.find() is None


def test_a_missing_keyring_is_reported_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret_store.warn_once_without_keyring("it will be asked again")
    printed = capsys.readouterr().err
    assert "no usable keyring" in printed
    assert "it will be asked again" in printed
    secret_store.warn_once_without_keyring("it will be asked again")
    assert capsys.readouterr().err == ""
    assert tree(tmp_path) == {"state/no-keyring-said": b""}


def test_a_file_backend_is_used_if_the_user_chooses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on systems without a Secret Service."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(core, "get_keyring", PlaintextKeyring)
    assert secret_store.find() is None
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyrings.alt.file.PlaintextKeyring")
    chain = secret_store.find()
    assert chain is not None
    assert chain.save("a", "secret/+= " * 300)
    assert chain.load("a") == "secret/+= " * 300
    assert chain.load("b") is None
    (path,) = (path for path in (tmp_path / "data").rglob("*") if path.is_file())
    assert path.stat().st_mode & 0o077 == 0
    chain.forget("a")
    assert chain.load("a") is None
