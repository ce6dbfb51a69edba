from __future__ import annotations

import time
from pathlib import Path

import pytest

from sm_proxy import error_handler
from sm_proxy.doctor import last_failure
from sm_proxy.doctor.check import Context, SkipCheck
from sm_proxy.errors import SmProxyError
from sm_proxy.settings import Settings
from sm_proxy.state import connection_log
from sm_proxy.state.connection_log import ConnectionRecord
from tests.fakes import FakeAws


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SM_PROXY_STATE_DIR", str(tmp_path / "state"))


def last_failure_of(host: str | None) -> str:
    return last_failure.failure(Context(Settings(), host, FakeAws()))


def test_the_last_failed_connection_to_the_host_is_shown() -> None:
    began = time.time() - 90_000
    connection_log.append(ConnectionRecord("sm-a"), began, SmProxyError("no-vpc", "there is none"))
    connection_log.append(ConnectionRecord("sm-a"), time.time(), None)
    expected = "1 d ago: no-vpc: there is none; 1 connection since then succeeded"
    assert last_failure_of("sm-a") == expected
    with pytest.raises(SkipCheck, match="no failure"):
        last_failure_of("sm-b")


def test_failures_of_doctor_itself_and_of_usage_are_ignored() -> None:
    error_handler.report_last_line("list", SmProxyError("no-credentials", "there are none"))
    error_handler.report_last_line("doctor", SmProxyError("network", "no answer"))
    error_handler.report_last_line("stop", SmProxyError("usage", "no terminal to ask on"))
    assert last_failure_of(None).endswith("ago: no-credentials: there are none (sm-proxy list)")


def test_without_a_record_the_check_is_skipped() -> None:
    with pytest.raises(SkipCheck, match="no failure"):
        last_failure_of(None)
