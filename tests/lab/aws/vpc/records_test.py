"""Moto's records are read only between its calls."""

from __future__ import annotations

import threading

import pytest

from sm_proxy_lab.account import REGION
from sm_proxy_lab.aws import moto_app
from sm_proxy_lab.aws.http.call import ACCOUNT
from sm_proxy_lab.aws.vpc import records
from sm_proxy_lab.machines import packet_filter

pytestmark = pytest.mark.filterwarnings("ignore")  # moto's own
_OTHER = "eu-north-1"


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


def test_vpcs_of_an_empty_lab_are_kept_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
    default = "172.31.0.0/16"
    from moto.ec2.models import ec2_backends

    with moto_app.LOCK:
        ec2_backends[ACCOUNT][_OTHER].create_vpc("10.9.0.0/16")
    assert records.vpc(_OTHER, {}).subnets == ()
    gates = records.vpc(_OTHER, {}, every_vpc=True).subnets
    assert {gate.where for gate in gates} >= {"10.9.0.0/16", default}

    def passes(source: str, target: str) -> bool:
        return packet_filter.lets_connect([], gates, source, target, 22)

    assert passes("10.9.0.4", "10.9.200.4")
    assert passes("10.9.0.4", "198.51.100.1")
    assert not passes("10.9.0.4", "172.31.0.4")
    assert not passes("172.31.0.4", "10.9.0.4")
