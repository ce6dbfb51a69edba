"""Groups keep their number of instances."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.lab.aws.harness import Lab, refusal

REGION = "eu-west-1"
AMI = "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64"


@pytest.fixture(scope="module")
def place(lab_process: Lab) -> dict[str, Any]:
    """Two subnets, a security group and an instance profile."""
    ec2, iam = lab_process.client("ec2", REGION), lab_process.client("iam", REGION)
    vpc = ec2.create_vpc(CidrBlock="10.3.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(
            VpcId=vpc, CidrBlock=f"10.3.{number}.0/24", AvailabilityZone=f"{REGION}{letter}"
        )["Subnet"]["SubnetId"]
        for number, letter in enumerate("ab")
    ]
    group = ec2.create_security_group(GroupName="scaling", Description="x", VpcId=vpc)["GroupId"]
    profile = f"profile-{uuid.uuid4().hex[:8]}"
    iam.create_instance_profile(InstanceProfileName=profile)
    return {"subnets": subnets, "group": group, "profile": profile}


@pytest.fixture
def new_group(lab: Lab, place: dict[str, Any]) -> Callable[..., str]:
    """Make a group with a launch template of its own; return the group's name."""
    ec2, scaling = lab.client("ec2", REGION), lab.client("autoscaling", REGION)

    def make(data: dict[str, Any] | None = None, **settings: Any) -> str:
        name = f"group-{uuid.uuid4().hex[:8]}"
        ec2.create_launch_template(
            LaunchTemplateName=name,
            LaunchTemplateData={
                "ImageId": AMI,
                "InstanceType": "t4g.nano",
                "IamInstanceProfile": {"Name": place["profile"]},
                "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
                "NetworkInterfaces": [{"DeviceIndex": 0, "Groups": [place["group"]]}],
                "BlockDeviceMappings": [
                    {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 8, "Encrypted": True}}
                ],
                **(data or {}),
            },
        )
        scaling.create_auto_scaling_group(
            **{
                "AutoScalingGroupName": name,
                "MinSize": 0,
                "MaxSize": 4,
                "DesiredCapacity": 1,
                "LaunchTemplate": {"LaunchTemplateName": name, "Version": "$Latest"},
                "VPCZoneIdentifier": ",".join(place["subnets"]),
                "Tags": [
                    {"Key": "sm-proxy:role", "Value": "bastion", "PropagateAtLaunch": True},
                    {"Key": "hidden", "Value": "x", "PropagateAtLaunch": False},
                ],
                **settings,
            }
        )
        return name

    return make


def describe(lab: Lab, name: str) -> dict[str, Any]:
    scaling = lab.client("autoscaling", REGION)
    found = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])
    return dict(found["AutoScalingGroups"][0])


def instances(lab: Lab, name: str, *states: str) -> list[dict[str, Any]]:
    """The instances of a group that EC2 shows in these states."""
    wanted = [
        {"Name": "tag:aws:autoscaling:groupName", "Values": [name]},
        {"Name": "instance-state-name", "Values": list(states or ("running",))},
    ]
    found = lab.client("ec2", REGION).describe_instances(Filters=wanted)["Reservations"]
    return [item for reservation in found for item in reservation["Instances"]]


def test_an_instance_is_what_the_template_says(
    lab: Lab, place: dict[str, Any], new_group: Callable[..., str]
) -> None:
    name = new_group(MaxInstanceLifetime=30 * 86_400)
    (found,) = instances(lab, name)
    assert found["ImageId"].startswith("ami-")
    assert found["InstanceType"] == "t4g.nano"
    assert found["MetadataOptions"]["HttpTokens"] == "required"
    assert found["IamInstanceProfile"]["Arn"].endswith(f"/{place['profile']}")
    assert [group["GroupId"] for group in found["SecurityGroups"]] == [place["group"]]
    tags = {tag["Key"]: tag["Value"] for tag in found["Tags"]}
    assert tags["sm-proxy:role"] == "bastion"
    assert "hidden" not in tags
    disk = [{"Name": "attachment.instance-id", "Values": [found["InstanceId"]]}]
    (volume,) = lab.client("ec2", REGION).describe_volumes(Filters=disk)["Volumes"]
    assert volume["Encrypted"]
    group = describe(lab, name)
    assert group["MaxInstanceLifetime"] == 30 * 86_400
    assert [item["InstanceId"] for item in group["Instances"]] == [found["InstanceId"]]
    assert {item["LifecycleState"] for item in group["Instances"]} == {"InService"}
    assert {tag["Key"] for tag in group["Tags"]} == {"sm-proxy:role", "hidden"}


def test_instances_go_to_the_subnets_in_turn(
    lab: Lab, place: dict[str, Any], new_group: Callable[..., str]
) -> None:
    name = new_group(DesiredCapacity=4)
    used = sorted(item["SubnetId"] for item in instances(lab, name))
    assert used == sorted(place["subnets"] * 2)
    assert len(describe(lab, name)["AvailabilityZones"]) == 2


@pytest.mark.parametrize("ending", ["terminate_instances", "stop_instances"])
def test_an_instance_that_ends_is_replaced(
    lab: Lab, new_group: Callable[..., str], ending: str
) -> None:
    name = new_group()
    (old,) = instances(lab, name)
    getattr(lab.client("ec2", REGION), ending)(InstanceIds=[old["InstanceId"]])
    (new,) = instances(lab, name)
    assert new["InstanceId"] != old["InstanceId"]
    assert [item["InstanceId"] for item in instances(lab, name, "terminated")] == [
        old["InstanceId"]
    ]
    activities = lab.client("autoscaling", REGION).describe_scaling_activities(
        AutoScalingGroupName=name
    )["Activities"]
    assert [item["StatusCode"] for item in activities] == ["Successful"] * 3
    assert old["InstanceId"] in activities[1]["Description"]


def test_a_group_is_emptied_and_deleted(lab: Lab, new_group: Callable[..., str]) -> None:
    scaling, name = lab.client("autoscaling", REGION), new_group()
    refused = refusal(scaling.delete_auto_scaling_group, AutoScalingGroupName=name)
    assert refused[0] == "ResourceInUse"
    scaling.update_auto_scaling_group(AutoScalingGroupName=name, DesiredCapacity=0)
    assert instances(lab, name) == describe(lab, name)["Instances"] == []
    scaling.update_auto_scaling_group(AutoScalingGroupName=name, DesiredCapacity=1)
    assert len(instances(lab, name)) == 1
    scaling.delete_auto_scaling_group(AutoScalingGroupName=name, ForceDelete=True)
    assert instances(lab, name) == []
    assert (
        scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
        == []
    )
    gone = refusal(scaling.update_auto_scaling_group, AutoScalingGroupName=name, MinSize=0)
    assert gone[0] == "ValidationError"


def test_a_launch_that_fails_is_an_activity(lab: Lab, new_group: Callable[..., str]) -> None:
    lab.control.faults(throttle={"ec2:RunInstances": 9})
    name = new_group()
    lab.control.clear_faults()
    assert describe(lab, name)["Instances"] == []
    (activity,) = lab.client("autoscaling", REGION).describe_scaling_activities(
        AutoScalingGroupName=name
    )["Activities"]
    assert activity["StatusCode"] == "Failed"
    assert "Launching EC2 instance failed" in activity["StatusMessage"]


@pytest.mark.parametrize(
    ("data", "settings", "words"),
    [
        ({"ImageId": "resolve:ssm:/no/such/parameter"}, {}, "fully-formed"),
        ({"ImageId": "resolve:ssm:/aws/service/no/such"}, {}, "fully-formed"),
        ({"InstanceType": "t9.huge", "ImageId": "ami-12345678"}, {}, "t9.huge"),
        ({"InstanceType": "t3.nano"}, {}, "The architecture 'x86_64' of the specified instance"),
        ({"IamInstanceProfile": {"Name": "none"}}, {}, "Invalid IAM Instance Profile name (none)"),
        ({"NetworkInterfaces": [{"Groups": ["sg-12345678"]}]}, {}, "'sg-12345678' does not exist"),
        ({}, {"VPCZoneIdentifier": "subnet-12345678"}, "'subnet-12345678' does not exist"),
        ({}, {"DesiredCapacity": 0, "VPCZoneIdentifier": "subnet-1"}, "does not exist"),
    ],
)
def test_a_group_that_could_launch_nothing_is_refused(
    new_group: Callable[..., str], data: dict[str, Any], settings: dict[str, Any], words: str
) -> None:
    code, message, _ = refusal(new_group, data=data, **settings)
    assert code == "ValidationError"
    assert words in message


def test_a_group_needs_a_template_that_exists(lab: Lab, new_group: Callable[..., str]) -> None:
    name = new_group()
    update = lab.client("autoscaling", REGION).update_auto_scaling_group
    for template in (
        {"LaunchTemplateName": name, "Version": "9"},
        {"LaunchTemplateName": "none", "Version": "1"},
    ):
        assert refusal(update, AutoScalingGroupName=name, LaunchTemplate=template)[0] == (
            "ValidationError"
        )
    assert describe(lab, name)["LaunchTemplate"]["Version"] == "$Latest"


def test_a_caller_without_permission_gets_no_group(lab: Lab, new_group: Callable[..., str]) -> None:
    lab.control.faults(deny=["ec2:RunInstances"])
    refused = refusal(new_group)
    assert (refused[0], refused[2]) == ("AccessDenied", 403)
    calls = [call for call in lab.calls() if call["operation"] == "RunInstances"]
    assert calls[-1]["via"] == "autoscaling"
    assert calls[-1]["error"] == "UnauthorizedOperation"


def test_a_new_version_is_for_the_next_instance(lab: Lab, new_group: Callable[..., str]) -> None:
    name, ec2 = new_group(), lab.client("ec2", REGION)
    ec2.create_launch_template_version(
        LaunchTemplateName=name,
        SourceVersion="1",
        LaunchTemplateData={"ImageId": "ami-1", "InstanceType": "t3.nano"},
    )
    (old,) = instances(lab, name)
    assert old["InstanceType"] == "t4g.nano"
    ec2.terminate_instances(InstanceIds=[old["InstanceId"]])
    (new,) = instances(lab, name)
    assert new["InstanceType"] == "t3.nano"
    assert describe(lab, name)["Instances"][0]["LaunchTemplate"]["Version"] == "2"


def test_sizes_must_fit(lab: Lab, new_group: Callable[..., str]) -> None:
    assert refusal(new_group, MinSize=2, MaxSize=1)[0] == "ValidationError"
    assert refusal(new_group, DesiredCapacity=5)[0] == "ValidationError"
    assert refusal(new_group, MaxInstanceLifetime=60)[0] == "ValidationError"
