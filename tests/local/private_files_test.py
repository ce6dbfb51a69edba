from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from sm_proxy.local import private_files
from tests.fakes import tree


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    private_files.write_private(path, b"one")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    with path.open("rb") as reader:
        private_files.write_private(path, b"two", 0o644)
        assert reader.read() == b"one"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert tree(path.parent) == {"file": b"two"}


def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="full"):
        private_files.write_private(path, b"new")
    assert tree(tmp_path) == {"file": b"old"}


def another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on, all existing files belong to another user, who is not root."""
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 12345)


def test_all_created_folders_are_private(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        private_files.ensure_private_dir(tmp_path / "a" / "b" / "c")
    finally:
        os.umask(before)
    for folder in ("a", "a/b", "a/b/c"):
        assert stat.S_IMODE((tmp_path / folder).stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777, 0o1777, 0o720])
def test_a_folder_that_others_may_write_into_is_refused(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(PermissionError, match="others may write"):
        private_files.ensure_own_dir(folder)
    folder.chmod(0o755)
    assert private_files.ensure_own_dir(folder) == folder


def test_another_users_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    another_user(monkeypatch)
    with pytest.raises(PermissionError, match="another user"):
        private_files.ensure_own_dir(tmp_path)


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() != 0, reason="only root can give files away"
)
def test_a_link_that_another_user_planted_is_refused(tmp_path: Path) -> None:
    mine = private_files.ensure_private_dir(tmp_path / "mine")
    link = tmp_path / "link"
    link.symlink_to(mine)
    assert private_files.ensure_own_dir(link) == link, "we follow the user's own link"
    os.chown(link, 12345, 12345, follow_symlinks=False)
    with pytest.raises(PermissionError, match="another user"):
        private_files.ensure_own_dir(link)


def test_a_folder_that_anybody_could_swap_is_refused(tmp_path: Path) -> None:
    folder = private_files.ensure_private_dir(tmp_path / "open" / "mine")
    folder.parent.chmod(0o777)
    with pytest.raises(PermissionError, match="everybody"):
        private_files.refuse_shared(folder)
    folder.parent.chmod(0o1777)  # like /tmp: users cannot rename each other's folders
    private_files.refuse_shared(folder)
    folder.parent.chmod(0o775)  # many systems give each user a group of their own
    private_files.refuse_shared(folder)


def test_another_users_folder_is_not_changed(tmp_path: Path) -> None:
    """We leave its mode: with SM_PROXY_CACHE_DIR=/tmp, root would lock everybody out of /tmp."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    folder.chmod(0o1777)
    with pytest.raises(PermissionError):
        private_files.ensure_own_dir(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o1777


@pytest.mark.parametrize("plant", ["symlink", "hard link", "pipe", "folder", "mode", "owner"])
def test_a_file_that_others_could_write_is_not_read(
    plant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, other = tmp_path / "record", tmp_path / "other"
    other.write_bytes(b"planted")
    if plant == "symlink":
        path.symlink_to(other)
    elif plant == "hard link":
        path.hardlink_to(other)
    elif plant == "pipe":
        os.mkfifo(path)
    elif plant == "folder":
        path.mkdir()
    else:
        path.write_bytes(b"planted")
        path.chmod(0o620 if plant == "mode" else 0o600)
    if plant == "owner":
        another_user(monkeypatch)
    with pytest.raises(OSError, match=r"link|regular file|directory|others"):
        private_files.read_own(path, 100)


def test_our_file_is_read_up_to_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "record"
    private_files.write_private(path, b"x" * 100)
    assert private_files.read_own(path, 10) == b"x" * 10


def test_links_planted_for_temporary_files_are_not_followed(tmp_path: Path) -> None:
    """The name cannot be guessed, and O_EXCL follows no link."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    folder = private_files.ensure_private_dir(tmp_path / "ours")
    (folder / "file").symlink_to(victim)
    names: list[str] = []
    replace = Path.replace

    def noted(self: Path, target: Path) -> Path:
        names.append(self.name)
        assert self.stat().st_mode & 0o777 == 0o600
        return replace(self, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "replace", noted)
        for _ in range(3):
            private_files.write_private(folder / "file", b"new")
    assert victim.read_bytes() == b"mine"
    assert not (folder / "file").is_symlink()
    assert len(set(names)) == 3
