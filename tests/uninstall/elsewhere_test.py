from __future__ import annotations

from pathlib import Path

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.uninstall import elsewhere


def test_a_start_up_file_that_cannot_be_read_stops_its_own_part_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZDOTDIR", str(tmp_path))
    (tmp_path / ".zshrc").symlink_to("/dev/null")
    (part,) = (part for part in elsewhere.completion() if "zsh" in part.what)
    with pytest.raises(SmProxyError, match="/dev/null"):
        part.remove()
