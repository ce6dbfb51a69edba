"""Rotation and revocation of keys, also when they are killed at any step."""

from __future__ import annotations

import contextlib
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sm_proxy import config_writer
from sm_proxy.errors import SmProxyError
from sm_proxy.identity import identities, rotation
from sm_proxy.identity.identities import Identity
from sm_proxy.local import file_lock
from sm_proxy.settings import Settings
from tests.fakes import tree

KEYGEN = shutil.which("ssh-keygen")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(ssh_dir=str(tmp_path / ".ssh" / "sm-proxy"))


def publics(settings: Settings) -> list[str]:
    return [key.public_key for key in identities.offered(settings)]


def rotated(settings: Settings) -> tuple[Identity, Identity]:
    return rotation.rotate(settings, config_writer.offer_keys)


def revoked(settings: Settings, named: str | None = None) -> list[Identity]:
    return rotation.revoke(settings, named, config_writer.offer_keys, lambda _: None)[0]


def written(settings: Settings) -> Path:
    user = settings.ssh_folder.parent / "config"
    for change in (changes := config_writer.plan(user, settings, ["/bin/true"])):
        assert change.needed
    config_writer.apply(changes)
    return settings.ssh_config_file


def offers(config: Path) -> list[str]:
    lines = config.read_text().splitlines()
    return [Path(line.split()[1]).name for line in lines if "IdentityFile" in line]


def test_the_old_key_is_offered_after_the_new_one(settings: Settings) -> None:
    first = identities.ensure(settings)
    config = written(settings)
    before = config.read_text().splitlines()
    new, old = rotated(settings)
    assert (old.public_key, old.path.name) == (first.public_key, "id_ed25519.1")
    third, _ = rotated(settings)
    assert publics(settings) == [third.public_key, new.public_key, first.public_key]
    assert offers(config) == ["id_ed25519", "id_ed25519.2", "id_ed25519.1"]
    after = [line for line in config.read_text().splitlines() if "_ed25519." not in line]
    assert after == before
    for path in identities.offered_paths(settings):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.with_name(path.name + ".pub").read_text().split()[1] in "".join(
            publics(settings)
        )


def test_a_config_written_later_offers_both_keys(settings: Settings) -> None:
    identities.ensure(settings)
    rotated(settings)
    assert not settings.ssh_config_file.exists()
    assert offers(written(settings)) == ["id_ed25519", "id_ed25519.1"]


def test_blocks_with_the_users_own_key_are_unchanged(settings: Settings, tmp_path: Path) -> None:
    identities.ensure(settings)
    known: dict[str, dict[str, Any]] = {"sm-": {}, "eu-": {"identity_file": "/my/key"}}
    user = tmp_path / ".ssh" / "config"
    config_writer.apply(config_writer.plan(user, settings, ["/bin/true"], known))
    rotated(settings)
    config = settings.ssh_config_file
    assert sorted(offers(config)) == ["id_ed25519", "id_ed25519.1", "key"]
    revoked(settings)
    assert sorted(offers(config)) == ["id_ed25519", "key"]


def test_revoke_removes_all_previous_keys(settings: Settings) -> None:
    identities.ensure(settings)
    config = written(settings)
    bare = config.read_bytes()
    rotated(settings)
    new, _ = rotated(settings)
    assert len(revoked(settings)) == 2
    assert publics(settings) == [new.public_key]
    assert config.read_bytes() == bare
    assert set(tree(settings.ssh_folder)) == {"config", "id_ed25519", "id_ed25519.pub"}
    with pytest.raises(SmProxyError, match="no previous key"):
        revoked(settings)


@pytest.mark.parametrize("how", ["fingerprint", "beginning", "path"])
def test_revoke_removes_the_named_key(how: str, settings: Settings) -> None:
    first = identities.ensure(settings)
    _, old = rotated(settings)
    rotated(settings)
    names = {
        "fingerprint": old.fingerprint,
        "beginning": old.fingerprint.removeprefix("SHA256:")[:10],
        "path": str(old.path),
    }
    gone = revoked(settings, names[how])
    assert [key.public_key for key in gone] == [first.public_key]
    assert first.public_key not in publics(settings)
    assert len(publics(settings)) == 2


@pytest.mark.parametrize("named", ["", "nothing", "SHA256:", "/no/such/key"])
def test_a_name_that_matches_no_single_key_is_refused(named: str, settings: Settings) -> None:
    before = publics(settings)
    with pytest.raises(SmProxyError, match="no key matches") as caught:
        revoked(settings, named)
    assert caught.value.code == "bad-setting"
    assert publics(settings) == before


def test_the_current_key_is_replaced_at_once(settings: Settings) -> None:
    first = identities.ensure(settings)
    gone = revoked(settings, "current")
    assert [key.public_key for key in gone] == [first.public_key]
    (left,) = publics(settings)
    assert left != first.public_key


def test_a_failure_of_the_first_step_stops_the_revocation(settings: Settings) -> None:
    identities.ensure(settings)
    rotated(settings)
    before = tree(settings.ssh_folder)

    def fail(keys: object) -> None:
        raise SmProxyError("access-denied", "no")

    with pytest.raises(SmProxyError, match="no"):
        rotation.revoke(settings, None, config_writer.offer_keys, fail)
    assert tree(settings.ssh_folder) == before


def test_no_more_keys_than_sshd_lets_ssh_try(settings: Settings) -> None:
    oldest = identities.ensure(settings)
    for _ in range(4):
        rotated(settings)
    before = tree(settings.ssh_folder)
    with pytest.raises(SmProxyError, match="offers 5 keys") as caught:
        rotated(settings)
    assert oldest.fingerprint in caught.value.hint
    assert tree(settings.ssh_folder) == before
    revoked(settings, oldest.fingerprint)
    rotated(settings)


def test_the_users_own_key_is_never_rotated(tmp_path: Path) -> None:
    settings = Settings(identity_file=str(tmp_path / "key"))
    for action in (rotated, revoked):
        with pytest.raises(SmProxyError, match="your own key") as caught:
            action(settings)
        assert caught.value.code == "unsupported"


def test_concurrent_rotations_take_turns(settings: Settings) -> None:
    first = identities.ensure(settings)
    config = written(settings)
    program = (
        "import sys\n"
        "from sm_proxy.identity import rotation\n"
        "from sm_proxy.settings import Settings\n"
        "from sm_proxy.config_writer import offer_keys\n"
        "settings = Settings(ssh_dir=sys.argv[1])\n"
        "sys.stdin.read()\n"
        "print(rotation.rotate(settings, offer_keys)[0].public_key)\n"
    )
    command = [sys.executable, "-c", program, str(settings.ssh_folder)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
    made = set()
    for process in processes:
        assert process.stdout is not None
        with process.stdout:
            made.add(process.stdout.read().strip())
        assert process.wait(60) == 0
    assert set(publics(settings)) == {first.public_key, *made}
    assert len(made) == 3
    assert offers(config) == [path.name for path in identities.offered_paths(settings)]


class Killed(BaseException):
    """Raised in place of a file operation, as if the process had been killed there."""


def killed_at(step: int, action: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> bool:
    """Run `action` and stop it at file operation number `step`; False if it ended before."""
    count = 0
    with monkeypatch.context() as patch:
        for name in ("replace", "unlink"):
            original = getattr(Path, name)

            def counted(path: Path, *rest: Any, do: Any = original, **named: Any) -> Any:
                nonlocal count
                count += 1
                if count >= step:  # nothing after this operation happens either
                    raise Killed
                return do(path, *rest, **named)

            patch.setattr(Path, name, counted)
        with contextlib.suppress(Killed):
            action()
    return count >= step


@pytest.mark.skipif(KEYGEN is None, reason="needs ssh-keygen")
@pytest.mark.parametrize("what", ["rotate", "revoke", "revoke current"])
def test_a_kill_at_any_step_leaves_a_usable_key(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = 0
    for step in range(1, 100):
        settings = Settings(ssh_dir=str(tmp_path / str(step) / "sm-proxy"))
        identities.ensure(settings)
        config = written(settings)
        rotated(settings)
        old = publics(settings)
        actions: dict[str, Callable[[], object]] = {
            "rotate": lambda chosen=settings: rotated(chosen),  # type: ignore[misc]
            "revoke": lambda chosen=settings: revoked(chosen),  # type: ignore[misc]
            "revoke current": lambda chosen=settings: revoked(chosen, "current"),  # type: ignore[misc]
        }
        if not killed_at(step, actions[what], monkeypatch):
            break
        steps += 1
        _is_usable(settings)
        if what == "rotate":
            assert set(old) <= set(publics(settings))
            public = [
                identities.read_identity(settings.ssh_folder / name).public_key
                for name in offers(config)
            ]
            assert set(old) <= set(public), "running jobs accept only these"
        # ssh offers no key that is missing, and the next run repairs the rest.
        assert all((settings.ssh_folder / name).exists() for name in offers(config))
        rotated(settings)
        assert len(publics(settings)) == len(set(publics(settings)))
        assert offers(config)[0] == "id_ed25519"
        assert not list(settings.ssh_folder.glob(".id_ed25519.??*"))
    assert steps >= 3


def _is_usable(settings: Settings) -> None:
    """The private half and an existing public half belong together, also for ssh."""
    path = identities.private_key_path(settings)
    assert KEYGEN is not None
    command = [KEYGEN, "-y", "-P", "", "-f", str(path)]
    public = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[:2]
    beside = path.with_name("id_ed25519.pub")
    if beside.exists():
        assert beside.read_text().split()[:2] == public
    assert identities.ensure(settings).public_key.split()[:2] == public
    assert beside.read_text().split()[:2] == public


def test_a_lock_held_by_another_process_is_an_error(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_lock, "WRITER_S", 0)
    with file_lock.locked(identities.LOCK):
        with pytest.raises(SmProxyError, match="holds the lock of our keys") as caught:
            identities.ensure(settings)
        assert caught.value.code == "busy"
    identities.ensure(settings)
    with file_lock.locked(identities.LOCK):
        for action in (rotated, revoked):
            with pytest.raises(SmProxyError, match="holds the lock of our keys"):
                action(settings)
    before = tree(settings.ssh_folder)
    with file_lock.locked("ssh-config"), pytest.raises(SmProxyError, match="of the ssh config"):
        rotated(settings)
    assert before.items() <= tree(settings.ssh_folder).items(), "no key is lost"
