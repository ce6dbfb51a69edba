from __future__ import annotations

import sys
from pathlib import Path

import pytest

import sm_proxy
from sm_proxy.local import python_environment
from sm_proxy.settings import load as load_settings
from sm_proxy.ssh_config import our_file
from tests.ssh_config.helpers import own_text


def test_the_profile_of_the_shell_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """An editor that is started from a menu does not have the shell's variables."""
    monkeypatch.setenv("AWS_PROFILE", "research")
    settings = load_settings()
    assert "--profile research connect" in own_text(settings)


def test_the_command_names_the_absolute_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However it was started: a console script may be deleted, or use another Python."""
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "sm-proxy")])
    assert our_file.own_program() == [sys.executable, "-I", "-m", "sm_proxy"]


def test_an_archive_is_named_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has unpacked may be removed, and belongs to this version."""
    monkeypatch.setattr(python_environment, "archive", lambda: "/opt/sm-proxy.pyz")
    monkeypatch.setattr(sys, "executable", "/cache/of/pex/python")
    monkeypatch.setattr(sys, "_base_executable", "/usr/bin/python3")
    assert our_file.own_program() == ["/usr/bin/python3", "-I", "/opt/sm-proxy.pyz"]


def test_a_package_that_isolated_python_does_not_find_is_named_by_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `pip install --user`, another installed version, or a folder that is not installed."""
    our_file._own_program.cache_clear()
    monkeypatch.setattr(sm_proxy, "__file__", str(tmp_path / "sm_proxy" / "__init__.py"))
    expected = [sys.executable, "-I", str(tmp_path / "sm_proxy" / "__main__.py")]
    assert our_file.own_program() == expected
    our_file._own_program.cache_clear()
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    assert our_file.own_program()[1:] == expected[1:]
    our_file._own_program.cache_clear()
