from __future__ import annotations

from pathlib import Path

import pytest

from sm_proxy_lab import environment


@pytest.mark.parametrize(("given", "expected"), [(None, "1"), ("", "1"), ("0", "1"), ("3", "3")])
def test_a_shell_has_started_the_lab(
    given: str | None, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else bash would read ~/.bashrc at each ssh."""
    monkeypatch.delenv("SHLVL", raising=False)
    if given is not None:
        monkeypatch.setenv("SHLVL", given)
    assert environment.base(tmp_path, "http://127.0.0.1:1", mode="netns")["SHLVL"] == expected


@pytest.mark.parametrize("name", ["SM_PROXY_DAEMON_IDLE", "SM_PROXY_KEEP_SESSION"])
def test_nothing_outlives_a_connection_unless_cmd_asks_for_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "5m")
    assert environment.base(tmp_path, "http://127.0.0.1:1", mode="netns")[name] == "0"
