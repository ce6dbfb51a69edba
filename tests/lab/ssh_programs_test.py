"""The scripts that make `ssh`, `scp` and `sftp` use the lab's config."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from sm_proxy import __version__
from sm_proxy_lab import environment, ssh_programs


@pytest.fixture
def real(tmp_path: Path) -> Path:
    """A folder with three programs that print their names and arguments."""
    folder = tmp_path / "it's real"
    folder.mkdir()
    for name in ("ssh", "scp", "sftp"):
        (folder / name).write_text('#!/bin/sh\nprintf "%s\\n" "${0##*/}" "$@"\n')
        (folder / name).chmod(0o755)
    return folder


def called(path: str, *words: str) -> list[str]:
    done = subprocess.run(
        words, env={"PATH": path}, check=True, stdout=subprocess.PIPE, encoding="utf-8"
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize("name", ["ssh", "scp", "sftp"])
def test_the_labs_config_comes_before_the_callers_arguments(
    name: str, tmp_path: Path, real: Path
) -> None:
    config = tmp_path / "a b" / "config"
    config.parent.mkdir()
    config.touch()
    inner = tmp_path / "lab"
    inner.mkdir()
    path = ssh_programs.write(inner, str(config), f"{real}:{os.defpath}")
    assert called(path, name, "-F", "mine", "a  b", "") == [
        *(name, "-F", str(config)),
        *("-F", "mine", "a  b", ""),
    ]
    config.unlink()  # as `config remove` does: then no other config is used either
    assert called(path, name, "x") == [name, "-F", "none", "x"]


def test_no_script_for_a_missing_program(tmp_path: Path, real: Path) -> None:
    (real / "sftp").unlink()
    ssh_programs.write(tmp_path, "/none", str(real))
    assert {file.name for file in (tmp_path / "bin").iterdir()} == {"ssh", "scp", "sm-proxy"}
    assert ssh_programs.write(tmp_path, "/none", str(tmp_path / "empty")).endswith("empty")


def test_our_own_command_is_there_under_its_name(tmp_path: Path) -> None:
    path = ssh_programs.write(tmp_path, "/none", os.defpath)
    assert called(path, "sm-proxy", "--version") == [f"sm-proxy {__version__}"]
    assert called(path, "sm-proxy", "list", "--help")[0].startswith("usage: sm-proxy list ")


def test_variables_that_name_the_users_files_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("VSCODE_PORTABLE", "VSCODE_APPDATA", "SM_PROXY_SSH_CONFIG"):
        monkeypatch.setenv(name, "/theirs")
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/theirs")
    given = environment.base(tmp_path, "http://127.0.0.1:1", mode="netns")
    theirs = [name for name, value in given.items() if "/theirs" in value]
    assert not theirs
    assert given["SM_PROXY_SSH_CONFIG"] == given["SM_PROXY_LAB_SSH_CONFIG"]
