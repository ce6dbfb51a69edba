"""Sessions and their targets."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable

import pytest

from sm_proxy_lab.aws.iam.roles import AGENT_ACTIONS
from tests.lab.aws.harness import Lab, refusal
from tests.lab.aws.ssm.helpers import REMOTE, remote


def test_a_session_is_served_by_the_gateway(lab: Lab, bastion: str) -> None:
    ssm = lab.client("ssm")
    session = ssm.start_session(**remote(bastion), Reason="sm-proxy")
    assert session["StreamUrl"] == f"ws://x/{session['SessionId']}"
    assert lab.gateway.asked == [
        {
            "op": "start",
            "target": bastion,
            "document": REMOTE,
            "parameters": {
                "host": ["10.0.1.2"],
                "portNumber": ["22"],
                "localPortNumber": ["0"],
            },
            "agent_version": "3.3.1230.0",
        }
    ]
    assert session["SessionId"] in lab.control.sessions()
    resumed = ssm.resume_session(SessionId=session["SessionId"])
    assert resumed["TokenValue"] == "token-2"
    active = ssm.describe_sessions(
        State="Active", Filters=[{"key": "SessionId", "value": session["SessionId"]}]
    )["Sessions"]
    assert [(line["Target"], line["Reason"]) for line in active] == [(bastion, "sm-proxy")]
    assert active[0]["Owner"] == "arn:aws:sts::123456789012:assumed-role/LabRole/lab"
    ssm.terminate_session(SessionId=session["SessionId"])
    assert session["SessionId"] not in lab.control.sessions()
    assert refusal(ssm.resume_session, SessionId=session["SessionId"])[0] == "DoesNotExistException"
    history = ssm.describe_sessions(State="History")["Sessions"]
    assert session["SessionId"] in {line["SessionId"] for line in history}


@pytest.mark.parametrize("target", ["i-0123456789abcdef0", "mi-0123456789abcdef0"])
def test_an_unknown_target_refuses_sessions(lab: Lab, target: str) -> None:
    assert refusal(lab.client("ssm").start_session, **remote(target)) == (
        "TargetNotConnected",
        f"{target} is not connected.",
        400,
    )


@pytest.mark.parametrize("operation", ["stop", "terminate", "reboot"])
def test_a_session_ends_with_its_instance(lab: Lab, bastion: str, operation: str) -> None:
    ssm, ec2 = lab.client("ssm"), lab.client("ec2")
    made = ec2.run_instances(ImageId="ami-12345678", MinCount=2, MaxCount=2)["Instances"]
    targets = [made[0]["InstanceId"], made[1]["InstanceId"], bastion]
    first, *others = [ssm.start_session(**remote(target))["SessionId"] for target in targets]
    assert {first, *others} <= set(lab.control.sessions())
    ec2.create_tags(Resources=targets, Tags=[{"Key": "any", "Value": "change"}])
    assert first in lab.control.sessions()
    getattr(ec2, f"{operation}_instances")(InstanceIds=targets[:1])
    assert first not in lab.control.sessions()
    assert set(others) <= set(lab.control.sessions())
    if operation == "reboot":
        ssm.start_session(**remote(targets[0]))
    else:
        assert refusal(ssm.start_session, **remote(targets[0]))[0] == "TargetNotConnected"


def test_a_session_into_a_training_container_ends_with_the_job(
    lab: Lab, new_job: Callable[..., str]
) -> None:
    job = new_job()
    lab.control.set_status(job, "Training")
    target = f"sagemaker-training-job:{job}_algo-1"
    started = lab.client("ssm").start_session(Target=target, DocumentName="AWS-StartSSHSession")
    other = new_job()
    lab.control.set_status(other, "Training")
    assert started["SessionId"] in lab.control.sessions()
    lab.control.set_status(job, "Uploading")
    assert started["SessionId"] not in lab.control.sessions()


def test_an_old_agent_refuses_sessions_to_remote_hosts(lab: Lab, bastion: str) -> None:
    ssm = lab.client("ssm")
    lab.control.faults(agent_version="3.1.1188.0")
    code, words, _ = refusal(ssm.start_session, **remote(bastion))
    assert code == "BadRequest"
    assert words.startswith("The version of the SSM agent installed on this instance doesn't")
    ssm.start_session(Target=bastion, DocumentName="AWS-StartSSHSession")
    lab.control.faults(agent_version="3.1.1374.0")
    ssm.start_session(**remote(bastion))


def test_a_training_container_accepts_sessions_if_remote_debug_is_on(
    lab: Lab, new_job: Callable[..., str]
) -> None:
    job = new_job()
    off = new_job(RemoteDebugConfig={"EnableRemoteDebug": False})
    start = lab.client("ssm").start_session
    target = f"sagemaker-training-job:{job}_algo-2"
    assert refusal(start, Target=target)[0] == "TargetNotConnected"
    for name in (job, off):
        lab.control.set_status(name, "Training")
    start(Target=target, DocumentName="AWS-StartSSHSession")
    for other in (f"{job}_algo-3", f"{off}_algo-1", f"no-{uuid.uuid4().hex[:8]}_algo-1"):
        code = refusal(start, Target=f"sagemaker-training-job:{other}")[0]
        assert code == "TargetNotConnected"


def test_a_training_container_refuses_sessions_until_its_agent_is_connected(
    lab: Lab, new_job: Callable[..., str]
) -> None:
    job = new_job()
    lab.control.set_status(job, "Training")
    target = f"sagemaker-training-job:{job}_algo-1"
    lab.gateway.without_agent.add(target)
    ssm = lab.client("ssm")
    assert ssm.get_connection_status(Target=target)["Status"] == "notconnected"
    assert refusal(ssm.start_session, Target=target)[0] == "TargetNotConnected"
    lab.gateway.without_agent.clear()
    assert ssm.get_connection_status(Target=target)["Status"] == "connected"
    ssm.start_session(Target=target)


def test_an_agent_whose_role_may_not_use_ssm_never_connects(
    lab: Lab, new_job: Callable[..., str]
) -> None:
    iam, ssm = lab.client("iam"), lab.client("ssm")
    name = f"role-{uuid.uuid4().hex[:8]}"
    allow = {"Effect": "Allow"}
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                **allow,
                "Principal": {"Service": "sagemaker.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
    job = new_job(RoleArn=made["Role"]["Arn"])
    lab.control.set_status(job, "Training")
    target = f"sagemaker-training-job:{job}_algo-1"
    for actions, status in (
        (AGENT_ACTIONS[1:], "notconnected"),
        (["ssmmessages:*"], "connected"),
    ):
        statement = {**allow, "Action": list(actions), "Resource": "*"}
        policy = {"Version": "2012-10-17", "Statement": [statement]}
        iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=json.dumps(policy))
        assert ssm.get_connection_status(Target=target)["Status"] == status


def test_moto_answers_other_ssm_calls(lab: Lab) -> None:
    ssm = lab.client("ssm")
    ssm.put_parameter(Name="/lab/x", Value="y", Type="String")
    assert ssm.get_parameter(Name="/lab/x")["Parameter"]["Value"] == "y"
    code = refusal(ssm.get_access_token, AccessRequestId="oi-0123456789ab")[0]
    assert code == "UnknownOperationException"
