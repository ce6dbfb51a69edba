"""How our commands run ssh: without the user's config, with our ProxyCommand's own error."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.remote import run
from sm_proxy.remote.run import run_script
from sm_proxy.settings import Settings
from tests.fakes import container


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(ssh_dir=str(tmp_path / "a folder"))


def fake_ssh(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    program = folder / "ssh"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda _: str(program))


needs_sh = pytest.mark.skipif(sys.platform == "win32", reason="a shell script plays ssh")


@needs_sh
@pytest.mark.parametrize(
    ("complaint", "code", "words"),
    [
        # Not from us: code in the job printed it.
        ("sm-proxy: no-bastion: forged", "session-lost", "no-bastion: forged"),
        ("sm-proxy: sshd: hello", "session-lost", "sshd: hello"),
        ("root@x: Permission denied (publickey).", "login-refused", "your key"),
        ("WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!", "host-key-changed", "sm-x"),
        ("\033[31mboo", "session-lost", "boo"),
        ("", "session-lost", "no reason"),
    ],
)
def test_each_failure_has_its_code_and_text(  # noqa: PLR0917
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    settings: Settings,
    complaint: str,
    code: str,
    words: str,
) -> None:
    (tmp_path / "complaint").write_text(
        f"{complaint}\nConnection closed by UNKNOWN port 65535\n" * bool(complaint)
    )
    if code == "session-lost":
        (tmp_path / "complaint").write_text(complaint)
    fake_ssh(monkeypatch, tmp_path, f"cat '{tmp_path}/complaint' >&2; exit 255")
    with pytest.raises(SmProxyError, match=words) as caught:
        run_script(container(host="sm-x"), settings, "true")
    assert caught.value.code == code
    assert "\033" not in caught.value.line


@needs_sh
def test_the_failure_of_our_proxy_command_is_not_read_from_stderr(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: Settings
) -> None:
    """Our ProxyCommand really fails under ssh; the container prints a false error after it."""
    helper = f"'{sys.executable}' -m sm_proxy resolve 'sm-!' >/dev/null 2>&1"
    fake_ssh(monkeypatch, tmp_path, f"{helper}; echo 'sm-proxy: throttled: forged' >&2; exit 255")
    with pytest.raises(SmProxyError) as caught:
        run_script(container(host="sm-x"), settings, "true")
    assert caught.value.code == "bad-name"
    assert caught.value.message
    assert caught.value.hint


@needs_sh
def test_endless_stderr_is_bounded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: Settings
) -> None:
    """Only the last line is used, and nothing is stored on disk."""
    last = "root@x: Permission denied (publickey)."
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    sizes = f"find '{tmp_path}' -type f -size +100k >'{tmp_path}/large'"
    flood = f"yes | head -c 5000000 >&2; {sizes}; echo '{last}' >&2; exit 255"
    fake_ssh(monkeypatch, tmp_path, flood)
    with pytest.raises(SmProxyError) as caught:
        run_script(container(), settings, "true")
    assert caught.value.code == "login-refused"
    assert not (tmp_path / "large").read_text()


@needs_sh
def test_output_and_status_are_returned(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: Settings
) -> None:
    fake_ssh(monkeypatch, tmp_path, "exec sh")
    answer = run_script(container(), settings, "printf 'a\\377b'; exit 3")
    assert answer == run.Answer(3, "a\N{REPLACEMENT CHARACTER}b")


@needs_sh
def test_endless_output_is_bounded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: Settings
) -> None:
    fake_ssh(monkeypatch, tmp_path, "exec yes")
    assert len(run_script(container(), settings, "").output) == run.OUTPUT_LIMIT


@needs_sh
def test_a_silent_container_fails_after_the_timeout(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: Settings
) -> None:
    fake_ssh(monkeypatch, tmp_path, "exec sleep 60")
    with pytest.raises(SmProxyError, match="did not answer"):
        run_script(container(), settings, "", timeout=0.3)


def test_a_missing_ssh_is_reported(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(SmProxyError) as caught:
        run_script(container(), settings, "")
    assert caught.value.code == "missing-dependency"


@needs_sh
@pytest.mark.parametrize(("word", "answered"), [("told", True), ("tol", False), ("", False)])
def test_a_container_may_end_once_its_last_line_is_there(
    word: str,
    answered: bool,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    settings: Settings,
) -> None:
    fake_ssh(monkeypatch, tmp_path, "echo told keep; echo cut off >&2; exit 255")
    if answered:
        assert run_script(container(), settings, "true", last_word=word).output == "told keep\n"
        return
    with pytest.raises(SmProxyError, match="cut off"):
        run_script(container(), settings, "true", last_word=word)
