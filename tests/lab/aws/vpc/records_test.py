"""Moto's records are read only between its calls."""

from __future__ import annotations

import threading

import pytest

from sm_proxy_lab.account import REGION
from sm_proxy_lab.aws import moto_app
from sm_proxy_lab.aws.vpc import records

pytestmark = pytest.mark.filterwarnings("ignore")  # moto's own


def test_records_are_read_between_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
    before = records.vpc(REGION, {})  # moto is loaded from now on
    found: list[records.Vpc] = []
    reader = threading.Thread(target=lambda: found.append(records.vpc(REGION, {})))
    with moto_app.LOCK:  # a call is running
        reader.start()
        reader.join(0.3)
        assert found == []
    reader.join(60)
    assert found == [before]
