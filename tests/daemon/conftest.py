from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sm_proxy.aws import handed_keys
from sm_proxy.daemon import kept, kept_stream
from sm_proxy.routes import sessions
from sm_proxy.routes.sessions import Sessions
from sm_proxy.ssm import shared
from tests.daemon.fake_session import Shares
from tests.daemon.kept_world import KeptWorld


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In place of pytest's, whose name may be too long for a socket in it."""
    path = Path(tempfile.mkdtemp(prefix="sm-", dir=None if sys.platform == "win32" else "/tmp"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[KeptWorld]:
    """A daemon and its keepers, with sessions in memory."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAONE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-secret-of-one")
    monkeypatch.setattr(sessions, "SESSIONS", Sessions())
    monkeypatch.setattr(kept, "ANSWER_S", 60)  # this machine may be very busy
    monkeypatch.setattr(kept_stream, "PATIENCE_S", 60)
    shares = Shares()
    monkeypatch.setattr(shared, "share", shares, raising=False)
    found = KeptWorld(shares)
    monkeypatch.setattr(handed_keys, "take", lambda *_: found.aws)
    yield found
    found.close()
