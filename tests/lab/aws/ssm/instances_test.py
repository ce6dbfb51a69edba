from __future__ import annotations

import pytest

from tests.lab.aws.harness import Lab, refusal
from tests.lab.aws.ssm.helpers import remote


@pytest.mark.parametrize("ping", ["ConnectionLost", "Inactive", "absent"])
def test_a_target_that_is_not_online_refuses_sessions(lab: Lab, bastion: str, ping: str) -> None:
    lab.control.faults(ping_status=ping)
    ssm = lab.client("ssm")
    assert refusal(ssm.start_session, **remote(bastion))[0] == "TargetNotConnected"
    found = ssm.describe_instance_information()["InstanceInformationList"]
    known = {line["InstanceId"]: line["PingStatus"] for line in found}
    assert known.get(bastion) == (None if ping == "absent" else ping)


def test_instance_information_is_filtered_by_id_and_region(lab: Lab, bastion: str) -> None:
    ssm = lab.client("ssm")
    lab.control.faults(agent_version="3.1.1188.0")
    wanted = [{"Key": "InstanceIds", "Values": [bastion]}]
    [line] = ssm.describe_instance_information(Filters=wanted)["InstanceInformationList"]
    assert (line["PingStatus"], line["AgentVersion"]) == ("Online", "3.1.1188.0")
    assert line["IPAddress"] == "10.0.1.9"
    none = [{"Key": "InstanceIds", "Values": ["i-0123456789abcdef0"]}]
    assert ssm.describe_instance_information(Filters=none)["InstanceInformationList"] == []
    bad = [{"Key": "Colour", "Values": ["red"]}]
    code = refusal(ssm.describe_instance_information, Filters=bad)[0]
    assert code == "InvalidFilterKey"
    abroad = lab.client("ssm", "eu-west-1").describe_instance_information(Filters=wanted)
    assert abroad["InstanceInformationList"] == []
