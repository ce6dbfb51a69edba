from __future__ import annotations

import asyncio
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sm_proxy_lab import start_up
from tests import terminals
from tests.waits import read_until


@start_up.shown()
async def starts(capsys: pytest.CaptureFixture[str], words: str) -> str:
    """What stderr has got once it has these words."""
    seen = ""
    await asyncio.sleep(0.05)
    while words not in seen:
        await asyncio.sleep(0.01)
        seen += capsys.readouterr().err
    return seen


def test_a_terminal_shows_that_the_lab_starts_until_it_runs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start_up, "_is_ours", lambda: True)
    monkeypatch.setattr(start_up, "_TICK_S", 0.01)
    shown = asyncio.run(starts(capsys, "starting"))
    assert re.match(r"\r\033\[Ksm-proxy lab: starting \(\d+s\)\r", shown)
    assert capsys.readouterr().err.endswith("\r\033[K\r")


def test_a_log_gets_no_such_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start_up, "_TICK_S", 0)
    assert asyncio.run(starts(capsys, "")) == ""
    assert capsys.readouterr().err == ""


def test_a_lab_that_is_stopped_while_it_starts_leaves_a_clean_line(tmp_path: Path) -> None:
    near, far = pty.openpty()

    slow = ("--latency-ms", "3000")  # so that ^C comes while it starts
    words = (sys.executable, "-I", "-m", "sm_proxy", "lab", "run", *slow, "--", "true")
    environment = {**os.environ, "TMPDIR": str(tmp_path), "TERM": "xterm"}
    process = subprocess.Popen(
        words, stdin=far, stdout=far, stderr=far,
        env=environment, **terminals.controlling(far),
    )  # fmt: skip
    try:
        read_until(near, b"starting (")
        os.write(near, b"\x03")
        assert process.wait(60) == 130
        os.write(far, b"END")
        assert read_until(near, b"END").endswith(b"\r\033[K\rEND")
    finally:
        process.kill()
        process.wait(60)
        os.close(near)
        os.close(far)
