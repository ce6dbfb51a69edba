from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path

import pytest

from sm_proxy import paths
from tests.fakes import tree


def test_the_variables_win(tmp_path: Path) -> None:
    assert paths.config_dir() == tmp_path / "config"
    assert paths.cache_dir() == tmp_path / "cache"
    assert paths.state_dir() == tmp_path / "state"


def test_without_them_the_platform_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("CONFIG", "CACHE", "STATE"):
        monkeypatch.delenv(f"SM_PROXY_{kind}_DIR")
    folders = {paths.config_dir(), paths.cache_dir(), paths.state_dir()}
    assert len(folders) == 3
    assert all(folder.is_absolute() and "sm-proxy" in folder.parts for folder in folders)


def test_the_home_is_that_of_the_passwd_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/nowhere")
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    assert paths.user_ssh_config() == home / ".ssh" / "config"
    assert paths.default_ssh_dir() == home / ".ssh" / "sm-proxy"


def test_a_user_without_an_entry_has_a_home_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_001)
    monkeypatch.setenv("HOME", "/somewhere")
    assert paths.ssh_home() == Path("/somewhere")


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    paths.write_private(path, b"one")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    with path.open("rb") as reader:
        paths.write_private(path, b"two", 0o644)
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
        paths.write_private(path, b"new")
    assert tree(tmp_path) == {"file": b"old"}
