"""These tests run the real bash, with a home of its own; a script plays any other shell."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sm_proxy.doctor import startup_file
from sm_proxy.doctor.check import Context
from tests.doctor.helpers import failure

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
GUARD = "case $- in *i*) ;; *) return ;; esac\n"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, context: Context) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHELL", str(shutil.which("bash")))
    context.effective = {"proxyusefdpass": ["yes"]}
    return tmp_path


@pytest.mark.parametrize("content", ["", "export A=1\n", "echo hi >&2\n", f"{GUARD}echo hi\n"])
def test_a_file_that_prints_nothing_for_ssh_passes(
    context: Context, home: Path, content: str
) -> None:
    (home / ".bashrc").write_text(content)
    assert "prints nothing" in startup_file.silent(context)


def test_a_file_that_greets_everybody_fails_with_what_to_put_in_it(
    context: Context, home: Path
) -> None:
    (home / ".bashrc").write_text("echo Welcome\n")
    error = failure(startup_file.silent, context)
    assert error.code == "unsupported"
    assert GUARD.strip() in error.hint
    assert "--no-fdpass" in error.hint


def test_a_file_that_never_ends_fails_in_time(
    context: Context, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(startup_file, "_DEADLINE_S", 0.2)
    (home / ".bashrc").write_text("exec sleep 60\n")
    assert "does not end" in failure(startup_file.silent, context).message


def test_a_program_of_such_a_file_ends_and_frees_its_lock(
    context: Context, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So does pyenv's: while its lock exists, each new shell waits for a minute."""
    monkeypatch.setattr(startup_file, "_DEADLINE_S", 2.0)
    lock = home / "lock"
    program = f"trap 'rm {lock}' EXIT; touch {lock}; while :; do sleep 0.01; done"
    (home / ".bashrc").write_text(f'bash -c "{program}"\n')
    assert "does not end" in failure(startup_file.silent, context).message
    assert not lock.exists()


def test_a_pumped_connection_passes_whatever_the_shell_prints(context: Context, home: Path) -> None:
    (home / ".bashrc").write_text("echo hello\n")
    context.effective = {"proxyusefdpass": ["no"]}
    assert "does not get a descriptor" in startup_file.silent(context)


@pytest.mark.parametrize("shell", ["", "/bin/sh"])
def test_a_shell_without_a_startup_file_passes(
    context: Context, monkeypatch: pytest.MonkeyPatch, shell: str
) -> None:
    """As where no `$SHELL` is set: in a service, or in CI."""
    monkeypatch.setenv("SHELL", shell)
    assert "the startup file of /bin/sh prints nothing" in startup_file.silent(context)


def test_a_shell_that_does_not_exist_is_named(
    context: Context, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHELL", str(home / "none"))
    error = failure(startup_file.silent, context)
    assert error.message == f"{home / 'none'} cannot be started: No such file or directory"


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("zsh", "~/.zshenv"),
        ("fish", "~/.config/fish/config.fish"),
        ("other", "the startup file of "),
    ],
)
def test_the_file_of_any_shell_is_named(
    context: Context, home: Path, monkeypatch: pytest.MonkeyPatch, name: str, file: str
) -> None:
    shell = home / name
    shell.write_text("#!/bin/sh\necho from the startup file\n")
    shell.chmod(0o755)
    monkeypatch.setenv("SHELL", str(shell))
    error = failure(startup_file.silent, context)
    assert error.message.startswith(file)
    assert "print only in an interactive shell; or run: sm-proxy" in error.hint
