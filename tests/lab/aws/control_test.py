"""The control plane: the fault document, which includes the gateway's faults."""

from __future__ import annotations

from typing import Any

import pytest

from sm_proxy_lab.aws.control_client import ControlError
from tests.lab.aws.harness import Lab


def test_faults_can_be_changed_or_replaced(lab: Lab) -> None:
    document = lab.control.replace_faults({"deny": ["ssm:*"]})
    assert lab.control.faults(log_delay_ms=5)["deny"] == ["ssm:*"]
    assert lab.control.replace_faults({"log_delay_ms": 1})["deny"] == []
    lab.control.clear_faults()
    assert lab.control.faults() == document | {"deny": []}
    documents: list[dict[str, Any]] = [
        *({"colour": 1}, {"credentials": "maybe"}, {"throttle": {"x": 1}}, {"deny": "x"}),
        *({"policies": {"x": []}}, {"quotas": {"m5.large": 1}}),
    ]
    for wrong in documents:
        with pytest.raises(ControlError):
            lab.control.replace_faults(wrong)


def test_the_gateways_faults_are_passed_on(lab: Lab) -> None:
    lab.control.faults(gateway={"drop": 0.1})
    assert lab.gateway.asked == [{"op": "faults", "faults": {"drop": 0.1}}]
    lab.control.clear_faults()
    assert lab.gateway.asked[1:] == [{"op": "faults", "faults": {}}]
    with pytest.raises(ControlError, match="colour"):
        lab.control.faults(gateway={"colour": 1}, deny=["ssm:*"])
    assert lab.control.faults()["deny"] == []
