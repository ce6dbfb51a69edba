"""We fix files that others could read, and refuse files that others could have written."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from sm_proxy import config_writer
from sm_proxy.errors import SmProxyError
from sm_proxy.host_keys import known_hosts
from sm_proxy.identity import identities, rotation
from sm_proxy.settings import Settings
from tests.fakes import HOST_KEY, tree

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX's")
OTHER = HOST_KEY.replace("JkD", "JkE")
STRANGER = 12345
as_root = pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() != 0, reason="only root can give files away"
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(ssh_dir=str(tmp_path / "ssh" / "sm-proxy"))


def refused(settings: Settings) -> SmProxyError:
    with pytest.raises(SmProxyError) as caught:
        identities.ensure(settings)
    assert caught.value.code == "bad-permissions"
    return caught.value


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o755 & ~0o22])
def test_a_key_that_others_could_read_is_made_private_and_reported(
    mode: int, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    key = identities.ensure(settings)
    rotation.rotate(settings, config_writer.offer_keys)
    old = identities.offered_paths(settings)[1]
    old.chmod(mode)
    capsys.readouterr()
    identities.ensure(settings)
    assert stat.S_IMODE(old.stat().st_mode) == 0o600
    printed = capsys.readouterr().err
    assert str(old) in printed
    assert "keys rotate" in printed
    identities.ensure(settings)
    assert capsys.readouterr().err == ""
    assert identities.read_identity(old).public_key == key.public_key


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_key_that_others_could_have_written_is_refused(mode: int, settings: Settings) -> None:
    key = identities.ensure(settings)
    key.path.chmod(mode)
    assert "rm " in refused(settings).hint
    assert stat.S_IMODE(key.path.stat().st_mode) == mode


@as_root
@pytest.mark.parametrize("name", ["", "id_ed25519"])
def test_another_users_file_is_refused(name: str, settings: Settings) -> None:
    identities.ensure(settings)
    os.chown(settings.ssh_folder / name, STRANGER, STRANGER)
    refused(settings)


@pytest.mark.parametrize("mode", [0o770, 0o777, 0o1777])
def test_a_folder_that_others_may_write_to_is_refused(mode: int, settings: Settings) -> None:
    settings.ssh_folder.mkdir(parents=True)
    settings.ssh_folder.chmod(mode)
    assert f"chmod go-w {settings.ssh_folder}" in refused(settings).hint
    with pytest.raises(SmProxyError) as caught:
        known_hosts.pin(settings, "sm-x", [HOST_KEY])
    assert caught.value.code == "bad-permissions"
    assert tree(settings.ssh_folder) == {}


def test_a_parent_that_everybody_may_write_to_is_refused(settings: Settings) -> None:
    settings.ssh_folder.mkdir(parents=True)
    settings.ssh_folder.parent.chmod(0o777)
    assert f"chmod go-w {settings.ssh_folder.parent}" in refused(settings).hint


def test_a_key_that_is_a_symlink_is_refused(settings: Settings, tmp_path: Path) -> None:
    theirs = identities.ensure(Settings(ssh_dir=str(tmp_path / "theirs"))).path
    settings.ssh_folder.mkdir(parents=True, mode=0o700)
    before = tree(tmp_path)
    (settings.ssh_folder / "id_ed25519").symlink_to(theirs)
    assert "symlink" in refused(settings).message
    (settings.ssh_folder / "id_ed25519").unlink()
    (settings.ssh_folder / "id_ed25519").symlink_to(tmp_path / "not there yet")
    assert "symlink" in refused(settings).message
    (settings.ssh_folder / "id_ed25519").unlink()
    assert tree(tmp_path) == before


def test_a_planted_link_is_not_written_by_the_next_rotation(
    settings: Settings, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    identities.ensure(settings)
    (settings.ssh_folder / "id_ed25519.pub").unlink()
    (settings.ssh_folder / "id_ed25519.pub").symlink_to(victim)
    (settings.ssh_folder / "id_ed25519.1.pub").symlink_to(victim)
    rotation.rotate(settings, config_writer.offer_keys)
    assert victim.read_text() == "mine"
    assert not any(path.is_symlink() for path in settings.ssh_folder.iterdir())


def test_a_host_key_that_is_a_symlink_is_replaced(settings: Settings, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_text(f"* {HOST_KEY}\n")
    path = known_hosts.path_of(settings, "sm-x")
    path.parent.mkdir(parents=True, mode=0o700)
    path.symlink_to(theirs)
    # Its content is right now, but its owner could change it before ssh reads it.
    known_hosts.pin(settings, "sm-x", [HOST_KEY])
    assert not path.is_symlink()
    known_hosts.pin(settings, "sm-x", [OTHER])
    assert theirs.read_text() == f"* {HOST_KEY}\n"


def test_a_host_key_that_others_may_write_is_replaced(settings: Settings) -> None:
    known_hosts.pin(settings, "sm-x", [HOST_KEY])
    path = known_hosts.path_of(settings, "sm-x")
    path.chmod(0o666)
    known_hosts.pin(settings, "sm-x", [HOST_KEY])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@as_root
def test_a_planted_link_to_a_folder_of_host_keys_is_refused(
    settings: Settings, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    settings.ssh_folder.mkdir(parents=True, mode=0o700)
    link = settings.known_hosts_folder
    link.symlink_to(theirs)
    os.chown(link, STRANGER, STRANGER, follow_symlinks=False)
    with pytest.raises(SmProxyError) as caught:
        known_hosts.pin(settings, "sm-x", [HOST_KEY])
    assert caught.value.code == "bad-permissions"
    assert list(theirs.iterdir()) == []


@pytest.mark.parametrize("mode", [0o640, 0o644, 0o666])
def test_the_users_own_key_is_not_touched(mode: int, tmp_path: Path) -> None:
    made = identities.ensure(Settings(ssh_dir=str(tmp_path / "made")))
    settings = Settings(identity_file=str(made.path), ssh_dir=str(tmp_path / "ssh"))
    assert identities.ensure(settings) == made
    made.path.chmod(mode)
    assert "chmod 600" in refused(settings).hint
    assert stat.S_IMODE(made.path.stat().st_mode) == mode
    public = Settings(identity_file=f"{made.path}.pub", ssh_dir=str(tmp_path / "ssh"))
    assert identities.ensure(public).public_key == made.public_key
