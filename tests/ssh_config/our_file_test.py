from __future__ import annotations

import sys
from pathlib import Path

import pytest

import sm_proxy
from sm_proxy.settings import load as load_settings
from sm_proxy.ssh_config import our_file
from tests.ssh_config.helpers import own_text


def test_the_profile_of_the_shell_is_written_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """An editor that is started from a menu knows nothing of the shell's variables."""
    monkeypatch.setenv("AWS_PROFILE", "research")
    settings = load_settings()
    assert "--profile research connect" in own_text(settings)


def test_how_to_start_this_program_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However it was started now: a console script may be gone, or begin with another Python."""
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "sm-proxy")])
    assert our_file.own_program() == [sys.executable, "-I", "-m", "sm_proxy"]


def test_what_isolated_python_does_not_find_is_named_by_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`pip install --user`, another version in the environment, a folder that is not installed."""
    our_file._own_program.cache_clear()
    monkeypatch.setattr(sm_proxy, "__file__", str(tmp_path / "sm_proxy" / "__init__.py"))
    expected = [sys.executable, "-I", str(tmp_path / "sm_proxy" / "__main__.py")]
    assert our_file.own_program() == expected
    our_file._own_program.cache_clear()
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    assert our_file.own_program()[1:] == expected[1:]
    our_file._own_program.cache_clear()
