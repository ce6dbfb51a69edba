from __future__ import annotations

import pytest

from sm_proxy.aws.errors import ServiceError
from sm_proxy.doctor import bastion
from sm_proxy.doctor.check import SkipCheck
from sm_proxy.settings import Settings
from tests.doctor.bastions import DENIED, INSTANCE, context, information
from tests.doctor.helpers import failure


def test_a_running_bastion_with_a_new_agent_passes() -> None:
    examined = context()
    assert bastion.running(examined) == "i-1"
    assert "3.3.1230.0" in bastion.agent(examined)


def test_a_stopped_bastion_comes_with_the_start_command() -> None:
    stopped = {**INSTANCE, "State": {"Name": "stopped"}}
    examined = context(DescribeInstances={"Reservations": [{"Instances": [stopped]}]})
    error = failure(bastion.running, examined)
    assert error.code == "no-bastion"
    assert error.hint == "aws ec2 start-instances --instance-ids i-1 --region eu-west-1"


def test_without_a_tagged_instance_the_fix_tags_one() -> None:
    error = failure(bastion.running, context(DescribeInstances={"Reservations": []}))
    assert error.code == "no-bastion"
    assert error.message == "no instance has the tag sm-proxy:role=bastion"
    assert "Key=sm-proxy:role,Value=bastion" in error.hint


def test_a_named_bastion_that_does_not_exist_fails() -> None:
    gone = ServiceError("InvalidInstanceID.NotFound", "no i-9", "ec2:DescribeInstances")
    error = failure(bastion.running, context(Settings(bastion="i-9"), DescribeInstances=gone))
    assert error.code == "no-bastion"
    assert error.message == "there is no instance i-9 in eu-west-1"
    assert error.hint == "Name another with --bastion."


def test_a_denied_lookup_is_skipped_if_the_bastion_is_named() -> None:
    with pytest.raises(SkipCheck):
        bastion.running(context(Settings(bastion="i-1"), DescribeInstances=DENIED))
    assert failure(bastion.running, context(DescribeInstances=DENIED)).code == "access-denied"


def test_an_old_agent_fails_with_the_update_command() -> None:
    examined = context(DescribeInstanceInformation=information(version="3.1.501.0"))
    bastion.running(examined)
    error = failure(bastion.agent, examined)
    assert error.code == "agent-too-old"
    assert "AWS-UpdateSSMAgent" in error.hint


def test_a_denied_agent_lookup_is_skipped() -> None:
    examined = context(DescribeInstanceInformation=DENIED)
    bastion.running(examined)
    with pytest.raises(SkipCheck):
        bastion.agent(examined)


@pytest.mark.parametrize(("pings", "serving"), [(("ConnectionLost", "Online"), "i-2"), ((), "i-1")])
def test_the_bastion_that_a_connection_uses_is_examined(
    pings: tuple[str, ...], serving: str
) -> None:
    both = [INSTANCE, {**INSTANCE, "InstanceId": "i-2"}]
    known = [
        {"InstanceId": f"i-{number}", "PingStatus": ping, "AgentVersion": "3.3.1230.0"}
        for number, ping in enumerate(pings, 1)
    ]
    examined = context(
        DescribeInstances={"Reservations": [{"Instances": both}]},
        DescribeInstanceInformation={"InstanceInformationList": known},
    )
    assert bastion.running(examined) == serving
    assert examined.hop is not None
    assert examined.hop["InstanceId"] == serving
