from __future__ import annotations

import asyncio

import pytest

from sm_proxy_lab import start_up


@start_up.shown()
async def starts(capsys: pytest.CaptureFixture[str], words: str) -> str:
    """What stderr has got once it has these words."""
    seen = ""
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
    assert shown.startswith("\r\033[Ksm-proxy lab: starting (0s)\r")
    assert capsys.readouterr().err.endswith("\r\033[K\r")


def test_a_log_gets_no_such_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start_up, "_TICK_S", 0)
    assert asyncio.run(starts(capsys, "")) == ""
    assert capsys.readouterr().err == ""
