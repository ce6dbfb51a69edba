from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sm_proxy.settings import load as load_settings
from sm_proxy.ssh_config import our_file
from tests.ssh_config.helpers import own_text


def test_the_profile_of_the_shell_is_written_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """An editor that is started from a menu knows nothing of the shell's variables."""
    monkeypatch.setenv("AWS_PROFILE", "research")
    settings = load_settings()
    assert "--profile research connect" in own_text(settings)


def test_how_to_start_this_program_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv" / "bin" / "python"))
    script = tmp_path / "bin" / "sm-proxy"
    monkeypatch.setattr(sys, "argv", [str(script)])
    assert our_file.own_program() == [sys.executable, "-m", "sm_proxy"]
    script.parent.mkdir()
    script.touch(0o755)
    assert our_file.own_program() == [str(script)]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["bin/sm-proxy"])
    assert our_file.own_program() == [str(script)]
    monkeypatch.setattr(sys, "argv", ["/x/sm_proxy/__main__.py"])
    assert our_file.own_program() == [sys.executable, "-m", "sm_proxy"]
    beside = Path(sys.executable).with_name("sm-proxy")
    beside.parent.mkdir(parents=True)
    beside.touch(0o755)
    assert our_file.own_program() == [str(beside)]
