"""Calls that moto answers, with the messages of AWS."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lab.aws.harness import Lab, refusal


def test_the_caller_is_the_labs_role(lab: Lab) -> None:
    who = lab.client("sts").get_caller_identity()
    assert who["Account"] == "123456789012"
    assert who["Arn"] == "arn:aws:sts::123456789012:assumed-role/LabRole/lab"
    abroad = lab.client("sts", "cn-north-1").get_caller_identity()
    assert abroad["Arn"].startswith("arn:aws-cn:sts::")


@pytest.mark.parametrize(
    ("operation", "request_", "code", "words"),
    [
        (
            "describe_instances",
            {"InstanceIds": ["i-0123456789abcdef0"]},
            "InvalidInstanceID.NotFound",
            "The instance ID 'i-0123456789abcdef0' does not exist",
        ),
        (
            "describe_instances",
            {"InstanceIds": ["i-zz"]},
            "InvalidInstanceID.Malformed",
            'Invalid id: "i-zz"',
        ),
        (
            "describe_subnets",
            {"SubnetIds": ["subnet-0123456789abcdef0"]},
            "InvalidSubnetID.NotFound",
            "The subnet ID 'subnet-0123456789abcdef0' does not exist",
        ),
        (
            "describe_vpcs",
            {"VpcIds": ["vpc-0123456789abcdef0"]},
            "InvalidVpcID.NotFound",
            "The vpc ID 'vpc-0123456789abcdef0' does not exist",
        ),
    ],
)
def test_ec2_errors_have_the_messages_of_aws(
    lab: Lab, operation: str, request_: dict[str, Any], code: str, words: str
) -> None:
    assert refusal(getattr(lab.client("ec2"), operation), **request_) == (code, words, 400)


def test_a_bastion_is_found_by_its_tag(lab: Lab, bastion: str) -> None:
    found = lab.client("ec2").describe_instances(
        Filters=[
            {"Name": "tag:sm-proxy:role", "Values": ["bastion"]},
            {"Name": "instance-state-name", "Values": ["running"]},
        ]
    )
    instances = [i["InstanceId"] for r in found["Reservations"] for i in r["Instances"]]
    assert instances == [bastion]
    assert lab.client("ec2", "sa-east-1").describe_instances()["Reservations"] == []


def test_an_unknown_operation_is_refused(lab: Lab) -> None:
    faces = lab.client("rekognition").list_faces
    assert refusal(faces, CollectionId="x")[0] == "UnknownOperationException"
    policies = lab.client("iam").simulate_custom_policy
    code = refusal(policies, PolicyInputList=["{}"], ActionNames=["a:b"])
    assert code[0] == "InvalidAction"
