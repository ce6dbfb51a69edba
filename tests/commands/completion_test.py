from __future__ import annotations

from pathlib import Path

import pytest

from sm_proxy.cli import main
from sm_proxy.completion import scripts
from tests.commands.helpers import answer


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    for name in ("SHELL", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_printed(shell: scripts.Shell, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert capsys.readouterr().out == scripts.text(shell)


def test_completion_is_installed_for_the_login_shell_and_removed(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    path = home / ".config/fish/completions/sm-proxy.fish"
    assert main(["completion", "install", "--json"]) == 0
    assert answer(capsys)["data"] == {"changed": [str(path)]}
    assert main(["completion", "install"]) == 0
    assert capsys.readouterr().out == "up to date\n"
    assert main(["completion", "uninstall"]) == 0
    assert capsys.readouterr().out == f"removed ours from {path}\n"
    assert main(["completion", "uninstall", "fish"]) == 0
    assert capsys.readouterr().out == "nothing to do\n"


def test_another_login_shell_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SHELL", "/bin/ksh")
    assert main(["completion", "install"]) == 2
    assert capsys.readouterr().err.startswith("sm-proxy: usage: your login shell")


def test_a_bad_config_file_does_not_matter(capsys: pytest.CaptureFixture[str]) -> None:
    from sm_proxy.settings import sources

    sources.config_file().parent.mkdir(parents=True, exist_ok=True)
    sources.config_file().write_text("nonsense")
    assert main(["completion", "zsh"]) == 0
