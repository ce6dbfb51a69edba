"""`sm-proxy login` as a process, with an Identity Center on loopback."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.aws.portal import CODE, CONFIG, Portal
from tests.fakes import tree
from tests.waits import await_true

URL = f"https://device.example/?user_code={CODE}"


@pytest.fixture
def portal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Portal]:
    running = Portal()
    monkeypatch.setenv("AWS_ENDPOINT_URL", running.url)
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "aws").mkdir()
    (tmp_path / "aws" / "config").write_text(CONFIG)
    yield running
    running.close()


@contextlib.contextmanager
def started(*words: str) -> Iterator[subprocess.Popen[str]]:
    """The command, without a terminal; it is killed at the end."""
    command = [sys.executable, "-m", "sm_proxy", "login", "--profile", "team", *words]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=pipe,
        stderr=pipe,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_sso_works_without_a_terminal_in_the_browser(
    portal: Portal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho noise; echo noise >&2\necho "$1" >> {tmp_path}/opened\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", f"{browser} %s")
    portal.refuses["/token"] = ["AuthorizationPendingException"]
    with started("--json") as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert json.loads(out)["data"]["profile"] == "team"
    assert URL in err
    assert CODE in err
    assert "noise" not in err
    opened = tmp_path / "opened"
    await_true(lambda: opened.exists() and opened.read_text() == f"{URL}\n", 60)
    assert len(list((tmp_path / ".aws" / "sso" / "cache").glob("*.json"))) == 1
    with started() as process:  # the user is not asked again
        out, err = process.communicate(timeout=60)
    assert (process.returncode, CODE in err) == (0, False)


def test_the_token_is_only_in_the_sso_cache(
    portal: Portal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with the debug log on, and if AWS refuses the keys that the token gives."""
    monkeypatch.setenv("SM_PROXY_LOG", "debug")
    portal.sts = "InvalidClientTokenId"
    with started() as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    kept = {name: content for name, content in tree(tmp_path).items() if "sso/cache" not in name}
    assert any("debug.log" in name for name in kept)
    for secret in ("access~", "refresh~", "client-secret", "device-code", "role-secret"):
        assert secret not in out + err
        assert not [name for name, content in kept.items() if secret.encode() in content]


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
def test_ctrl_c_ends_the_login_at_once(portal: Portal, tmp_path: Path) -> None:
    portal.changes["/device_authorization"] = {"interval": 60}
    with started() as process:
        assert process.stderr is not None
        printed = ""
        while "waiting up to" not in printed:
            line = process.stderr.readline()
            assert line, printed
            printed += line
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert (out, "Traceback" in err) == ("", False)
    assert not (tmp_path / ".aws").exists()
