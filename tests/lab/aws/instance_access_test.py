from __future__ import annotations

import pytest

from tests.lab.aws.harness import HOST_KEY as KEY
from tests.lab.aws.harness import Lab, refusal
from tests.lab.aws.ssm.helpers import REMOTE, remote


def test_a_pushed_key_reaches_the_instance(lab: Lab, bastion: str) -> None:
    push = lab.client("ec2-instance-connect").send_ssh_public_key
    assert push(InstanceId=bastion, InstanceOSUser="ec2-user", SSHPublicKey=KEY)["Success"]
    [asked] = lab.gateway.asked
    assert asked == {"op": "push-key", "target": bastion, "user": "ec2-user", "key": KEY}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"InstanceId": "i-0123456789abcdef0"}, "EC2InstanceNotFoundException"),
        ({"SSHPublicKey": KEY[:-4] + "!!!!"}, "InvalidArgsException"),
        ({"SSHPublicKey": "ssh-rsa " + KEY.split()[1] + "0123"}, "InvalidArgsException"),
        ({"InstanceOSUser": "../root"}, "ValidationException"),
        ({"SSHPublicKey": KEY + "x" * 4096}, "ValidationException"),
    ],
)
def test_other_keys_users_and_instances_are_refused(
    lab: Lab, bastion: str, changes: dict[str, str], code: str
) -> None:
    push = lab.client("ec2-instance-connect").send_ssh_public_key
    given = {"InstanceId": bastion, "InstanceOSUser": "ec2-user", "SSHPublicKey": KEY} | changes
    assert refusal(push, **given)[0] == code
    assert lab.gateway.asked == []


def test_a_denied_push_names_the_instance(lab: Lab, bastion: str) -> None:
    lab.control.faults(deny=["ec2-instance-connect:*"])
    push = lab.client("ec2-instance-connect").send_ssh_public_key
    given = {"InstanceId": bastion, "InstanceOSUser": "ec2-user", "SSHPublicKey": KEY}
    code, message, _ = refusal(push, **given)
    assert code == "AccessDeniedException"
    assert f"on resource: arn:aws:ec2:us-east-1:123456789012:instance/{bastion} " in message


def test_the_console_has_host_keys_only_after_the_first_boot(lab: Lab, bastion: str) -> None:
    read = lab.client("ec2").get_console_output
    shown = read(InstanceId=bastion)["Output"]
    assert f"KEYS-----\r\n{KEY} root@bastion\r\n-----END SSH HOST KEY KEYS-----\r\n" in shown
    lab.control.faults(console="rebooted")
    shown = read(InstanceId=bastion)["Output"]
    assert "Linux version" in shown
    assert "SSH HOST KEY" not in shown
    assert refusal(read, InstanceId="i-0123456789abcdef0")[0] == "InvalidInstanceID.NotFound"


def test_single_documents_can_be_denied(lab: Lab, bastion: str) -> None:
    lab.control.faults(deny_documents=[REMOTE])
    start = lab.client("ssm").start_session
    code, message, _ = refusal(start, **remote(bastion))
    assert code == "AccessDeniedException"
    assert f"on resource: arn:aws:ssm:us-east-1::document/{REMOTE} because no identity" in message
    assert start(Target=bastion, DocumentName="AWS-StartSSHSession")["SessionId"]
