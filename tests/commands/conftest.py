"""Fixtures for the tests of several commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sm_proxy import resolver
from sm_proxy.jobs.hostname import Target
from sm_proxy.local import output
from tests.fakes import container


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The wait that each resolution was given, in seconds."""
    seen: list[float] = []

    def resolve(target: Target, *_: Any, wait: float, on_status: Any) -> Any:
        assert on_status is output.status
        seen.append(wait)
        return container(host=target.host)

    monkeypatch.setattr(resolver, "resolve", resolve)
    return seen


@pytest.fixture
def user_config(tmp_path: Path) -> Path:
    """The config of a user, who has one host."""
    folder = tmp_path / "ssh"
    folder.mkdir(mode=0o700)
    (folder / "config").write_bytes(b"Host a\n")
    return folder / "config"
