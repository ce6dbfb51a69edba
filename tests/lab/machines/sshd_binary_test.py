from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from sm_proxy_lab.errors import LabError
from sm_proxy_lab.machines import sshd_binary


def test_the_variable_sm_proxy_sshd_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SM_PROXY_SSHD", "/opt/my/sshd")
    assert sshd_binary.find_sshd() == "/opt/my/sshd"


def test_without_an_sshd_the_error_says_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("SM_PROXY_SSHD", raising=False)
    monkeypatch.setenv("SM_PROXY_LAB_TOOLS", str(tmp_path / "tools"))
    monkeypatch.setattr(sshd_binary, "installed_sshd", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError, match="apt-get install openssh-server"):
        sshd_binary.find_sshd()


def test_an_unpacked_sshd_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A real download, unpacked, with its libraries; nothing is written outside the folder."""
    if not shutil.which("apt-get"):
        pytest.skip("needs apt-get")
    monkeypatch.delenv("SM_PROXY_SSHD", raising=False)
    folder = tmp_path / "tools with a space"
    monkeypatch.setenv("SM_PROXY_LAB_TOOLS", str(folder))
    monkeypatch.setattr(sshd_binary, "installed_sshd", lambda: None)
    try:
        sshd = sshd_binary.find_sshd()
    except LabError as error:
        pytest.skip(str(error))
    done = subprocess.run([sshd, "-?"], capture_output=True, text=True, check=False)
    assert "OpenSSH" in done.stderr
    assert [entry.name for entry in folder.iterdir()] == ["openssh-v1"]
    assert sshd_binary.find_sshd() == sshd
