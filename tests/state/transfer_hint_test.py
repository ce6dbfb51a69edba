"""The line about `cp`: once a day, by one process."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from sm_proxy.local.threads import Background
from sm_proxy.state import transfer_hint


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SM_PROXY_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


def test_the_hint_is_shown_once_a_day(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for background in [Background(lambda: transfer_hint.show(712_345.0)) for _ in range(8)]:
        background.result()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("sm-proxy: this transfer gets 712.3 KB/s. `sm-proxy cp` ")
    tomorrow = time.gmtime(time.time() + 24 * 3600)
    monkeypatch.setattr(time, "gmtime", lambda: tomorrow)
    transfer_hint.show(1.0)
    assert capsys.readouterr().err
    assert len(list(state.iterdir())) == 1


def test_without_a_state_folder_the_hint_is_not_shown(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state.write_text("a file")
    transfer_hint.show(1.0)
    assert capsys.readouterr().err == ""
