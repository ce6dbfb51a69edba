from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from sm_proxy.ssm import resume


def test_a_late_connection_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go, closed = threading.Event(), threading.Event(), threading.Event()

    class Late:
        def close(self) -> None:
            closed.set()

    def attempt() -> Any:
        begun.set()
        go.wait(30)
        return ("grant", Late())

    resumption = resume.Resumption(attempt, "test", time.monotonic() + 60)
    assert begun.wait(30)
    resumption.cancel()
    go.set()
    assert closed.wait(30)
