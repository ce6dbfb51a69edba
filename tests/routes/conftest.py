"""A fixture that starts no real session."""

from __future__ import annotations

from typing import Any

import pytest

from sm_proxy.routes import sessions
from sm_proxy.routes.sessions import Sessions
from sm_proxy.ssm import session as ssm
from sm_proxy.ssm.session import Grant, Options
from tests.routes.helpers import Started


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    """The arguments of each call of `ssm.start`."""
    calls: Started = []

    def start(api: Any, options: Options, grant: Grant) -> str:
        calls.append((api, options, grant))
        return "a session"

    monkeypatch.setattr(ssm, "start", start)
    monkeypatch.setattr(sessions, "SESSIONS", Sessions())
    return calls
