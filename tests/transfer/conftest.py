"""A folder in the container and one here, and an SFTP server between them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sm_proxy.transfer.ssh.connection import Connection
from tests.transfer import sftp_server


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The container's home folder."""
    path = tmp_path / "home"
    path.mkdir()
    return path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory."""
    path = tmp_path / "here"
    path.mkdir()
    monkeypatch.chdir(path)
    return path


@pytest.fixture
def far(home: Path) -> Iterator[Connection]:
    """A connection to an SFTP server in `home`."""
    with sftp_server.connection(home) as connection:
        yield connection
