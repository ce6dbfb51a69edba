from __future__ import annotations

from pathlib import Path

import pytest

from sm_proxy.uninstall import folders


def test_a_file_that_goes_away_while_we_look_is_no_file_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SM_PROXY_CACHE_DIR", str(tmp_path))
    gone = tmp_path / ".jobs.lock.tmp"
    monkeypatch.setattr(Path, "iterdir", lambda _: iter([gone]))
    assert not folders.is_shared(tmp_path, folders.CACHE)
