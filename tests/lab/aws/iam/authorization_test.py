"""The policies of a role decide what its sessions may do."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from sm_proxy_lab.machines import role_credentials
from tests.lab.aws.harness import Lab, job_request, refusal
from tests.lab.aws.iam.identities import ADMINISTRATOR, allow, client, make_role, session

DOCUMENT = "AWS-StartPortForwardingSessionToRemoteHost"
FORWARD = {
    "DocumentName": DOCUMENT,
    "Parameters": {"host": ["10.0.1.5"], "portNumber": ["22"], "localPortNumber": ["1"]},
}
BASTIONS = allow(
    "ssm:StartSession",
    "arn:aws:ec2:*:123456789012:instance/*",
    StringEquals={"ssm:resourceTag/sm-proxy:role": "bastion"},
)
WITH_DOCUMENT = allow("ssm:StartSession", f"arn:aws:ssm:*::document/{DOCUMENT}")
SAGEMAKER = {"iam:PassedToService": "sagemaker.amazonaws.com"}


def denied(call: Any, /, **request: Any) -> str:
    """The action that the error of a call names."""
    code, words, _ = refusal(call, **request)
    assert "AccessDenied" in code or code == "UnauthorizedOperation"
    return words.partition("is not authorized to perform: ")[2].split()[0]


def test_an_action_that_no_policy_allows_is_denied_and_noted(lab: Lab) -> None:
    role = make_role(lab, allow("ec2:DescribeVpcs"))
    ec2 = client(lab, "ec2", session(lab, role))
    ec2.describe_vpcs()
    assert denied(ec2.describe_subnets) == "ec2:DescribeSubnets"
    noted = [line for line in lab.calls() if line.get("caller") == role]
    assert [line["needed"] for line in noted] == [["ec2:DescribeVpcs"], ["ec2:DescribeSubnets"]]


def test_a_policy_that_changes_counts_at_once(lab: Lab) -> None:
    role = make_role(lab, allow("ec2:DescribeVpcs"))
    ec2 = client(lab, "ec2", session(lab, role))
    ec2.describe_vpcs()
    lab.client("iam").delete_role_policy(RoleName=role.rpartition("/")[2], PolicyName="p")
    assert denied(ec2.describe_vpcs) == "ec2:DescribeVpcs"


def test_a_session_needs_the_instance_and_the_document(lab: Lab, bastion: str) -> None:
    untagged = lab.client("ec2").run_instances(ImageId="ami-1", MinCount=1, MaxCount=1)
    other = untagged["Instances"][0]["InstanceId"]
    both = client(lab, "ssm", session(lab, make_role(lab, BASTIONS, WITH_DOCUMENT)))
    both.start_session(Target=bastion, **FORWARD)
    _, words, _ = refusal(both.start_session, Target=other, **FORWARD)
    assert f"instance/{other}" in words
    alone = client(lab, "ssm", session(lab, make_role(lab, BASTIONS)))
    _, words, _ = refusal(alone.start_session, Target=bastion, **FORWARD)
    assert f"arn:aws:ssm:us-east-1::document/{DOCUMENT}" in words
    lab.client("ec2").terminate_instances(InstanceIds=[other])


def test_only_the_starter_of_a_session_may_end_it(lab: Lab, bastion: str) -> None:
    """By the tag that AWS gives a session; its id does not hold the user id of a role's session."""
    own = {"ssm:resourceTag/aws:ssmmessages:session-id": "${aws:userid}"}
    end = allow("ssm:TerminateSession", "arn:aws:ssm:*:*:session/*", StringEquals=own)
    role = make_role(lab, BASTIONS, WITH_DOCUMENT, end)
    mine, theirs = (client(lab, "ssm", session(lab, role, name)) for name in ("me", "you"))
    begun = mine.start_session(Target=bastion, **FORWARD)["SessionId"]
    assert denied(theirs.terminate_session, SessionId=begun) == "ssm:TerminateSession"
    mine.terminate_session(SessionId=begun)


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        (0, "sagemaker:CreateTrainingJob"),
        (1, "iam:PassRole"),
        (2, "sagemaker:AddTags"),
        (None, ""),
    ],
)
def test_a_job_needs_its_role_and_its_tags_allowed(
    lab: Lab, missing: int | None, named: str
) -> None:
    tags = {"ForAllValues:StringEquals": {"aws:TagKeys": ["team"]}}
    statements = [
        allow("sagemaker:CreateTrainingJob", "arn:aws:sagemaker:*:*:training-job/job-*"),
        allow("iam:PassRole", role_credentials.ARN, StringEquals=SAGEMAKER),
        allow("sagemaker:AddTags", "arn:aws:sagemaker:*:*:training-job/*", **tags),
    ]
    if missing is not None:
        del statements[missing]
    create = client(lab, "sagemaker", session(lab, make_role(lab, *statements)))
    request = job_request(f"job-{uuid.uuid4().hex[:8]}")
    if named:
        assert denied(create.create_training_job, **request) == named
    else:
        create.create_training_job(**request)


def test_a_role_may_be_passed_only_to_the_service_of_the_condition(lab: Lab) -> None:
    elsewhere = {"iam:PassedToService": "ec2.amazonaws.com"}
    role = make_role(
        lab,
        allow("sagemaker:*"),
        allow("iam:PassRole", "*", StringEquals=elsewhere),
    )
    create = client(lab, "sagemaker", session(lab, role)).create_training_job
    assert denied(create, **job_request("job-x")) == "iam:PassRole"


def test_the_tags_of_a_request_and_of_its_resource_count(lab: Lab) -> None:
    ours = {"aws:RequestTag/stack": "ours"}
    role = make_role(
        lab,
        allow(["ec2:CreateVpc", "ec2:CreateTags"], StringEquals=ours),
        allow("ec2:DeleteVpc", StringEquals={"aws:ResourceTag/stack": "ours"}),
    )
    ec2 = client(lab, "ec2", session(lab, role))

    def tagged(value: str) -> dict[str, Any]:
        tags = [{"ResourceType": "vpc", "Tags": [{"Key": "stack", "Value": value}]}]
        return {"CidrBlock": "10.9.0.0/16", "TagSpecifications": tags}

    assert denied(ec2.create_vpc, CidrBlock="10.9.0.0/16") == "ec2:CreateVpc"
    assert denied(ec2.create_vpc, **tagged("theirs")) == "ec2:CreateVpc"
    ec2.delete_vpc(VpcId=ec2.create_vpc(**tagged("ours"))["Vpc"]["VpcId"])
    other = lab.client("ec2").create_vpc(**tagged("theirs"))["Vpc"]["VpcId"]
    assert denied(ec2.delete_vpc, VpcId=other) == "ec2:DeleteVpc"
    lab.client("ec2").delete_vpc(VpcId=other)


def test_buckets_and_objects_are_different_resources(lab: Lab) -> None:
    bucket = f"b-{uuid.uuid4().hex[:8]}"
    own = client(lab, "s3", ADMINISTRATOR)
    own.create_bucket(Bucket=bucket)
    role = make_role(
        lab,
        allow("s3:ListBucket", f"arn:aws:s3:::{bucket}"),
        allow("s3:GetObject", f"arn:aws:s3:::{bucket}/in/*"),
    )
    own.put_object(Bucket=bucket, Key="in/a", Body=b"1")
    s3 = client(lab, "s3", session(lab, role))
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 1
    assert s3.get_object(Bucket=bucket, Key="in/a")["Body"].read() == b"1"
    assert denied(s3.get_object, Bucket=bucket, Key="out/a") == "s3:GetObject"
    assert denied(s3.put_object, Bucket=bucket, Key="in/a", Body=b"2") == "s3:PutObject"


def test_a_denied_call_of_the_administrator_is_not_noted(lab: Lab) -> None:
    lab.client("ec2").describe_vpcs()
    assert "needed" not in lab.calls()[-1]


@pytest.mark.parametrize("missing", ["instance", "network-interface", "volume", "image"])
def test_a_launch_needs_all_that_it_makes_and_its_image(lab: Lab, missing: str) -> None:
    launch = {"ImageId": "ami-12345678", "MinCount": 1, "MaxCount": 1}
    rest = {"instance", "network-interface", "volume", "image"} - {missing}
    role = make_role(lab, *(allow("ec2:RunInstances", f"arn:aws:ec2:*:*:{it}/*") for it in rest))
    run = client(lab, "ec2", session(lab, role)).run_instances
    _, words, _ = refusal(run, **launch)
    assert f":{missing}/" in words
