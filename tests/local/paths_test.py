from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from sm_proxy.local import paths

_SSH_HOME = paths.ssh_home
"""The real function: for every test, another one takes its place."""


def test_the_variables_win(tmp_path: Path) -> None:
    assert paths.config_dir() == tmp_path / "config"
    assert paths.cache_dir() == tmp_path / "cache"
    assert paths.state_dir() == tmp_path / "state"


def test_without_variables_the_platforms_folders_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("CONFIG", "CACHE", "STATE"):
        monkeypatch.delenv(f"SM_PROXY_{kind}_DIR")
    folders = {paths.config_dir(), paths.cache_dir(), paths.state_dir()}
    assert len(folders) == 3
    assert all(folder.is_absolute() and "sm-proxy" in folder.parts for folder in folders)


@pytest.mark.skipif(sys.platform == "win32", reason="no passwd database")
def test_the_home_folder_comes_from_the_passwd_database(monkeypatch: pytest.MonkeyPatch) -> None:
    import pwd

    monkeypatch.setattr(paths, "ssh_home", _SSH_HOME)
    monkeypatch.setenv("HOME", "/nowhere")
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    assert paths.user_ssh_config() == home / ".ssh" / "config"
    assert paths.default_ssh_dir() == home / ".ssh" / "sm-proxy"


def test_a_variable_names_another_config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for named, path in (
        ("/a/b", Path("/a/b")),
        ("~/c", tmp_path / "c"),
        ("c", tmp_path / "c"),
        ("~no.body/c", tmp_path / "~no.body" / "c"),
    ):
        monkeypatch.setenv("SM_PROXY_SSH_CONFIG", named)
        assert paths.named_ssh_config() == paths.user_ssh_config() == path
    monkeypatch.setenv("SM_PROXY_SSH_CONFIG", "")
    assert paths.named_ssh_config() is None


@pytest.mark.skipif(sys.platform == "win32", reason="no passwd database")
def test_a_user_without_an_entry_gets_the_home_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_001)
    monkeypatch.setenv("HOME", "/somewhere")
    assert _SSH_HOME() == Path("/somewhere")


def test_no_test_uses_the_real_ssh_files(tmp_path: Path) -> None:
    assert tmp_path in paths.default_ssh_dir().parents
