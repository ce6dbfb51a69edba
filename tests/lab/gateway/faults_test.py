from __future__ import annotations

import pytest

from sm_proxy_lab.gateway.faults import Faults, UnknownFaultError, from_json


def test_unknown_faults_and_wrong_types_are_refused() -> None:
    assert from_json({}) == Faults()
    assert from_json({"drop": 1, "max_payload": 5, "message_rate_limit": None}).max_payload == 5
    with pytest.raises(UnknownFaultError):
        from_json({"dorp": 1})
    with pytest.raises(UnknownFaultError):
        from_json({"encrypt": "yes"})
