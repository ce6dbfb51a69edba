"""Launches an instance as a launch template says."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final

from sm_proxy_lab.aws.autoscaling import checks
from sm_proxy_lab.aws.autoscaling.groups import Group, Member

_RESOLVE: Final = "resolve:ssm:"
_AS_THEY_ARE: Final = (
    *("BlockDeviceMappings", "IamInstanceProfile", "InstanceType", "KeyName", "MetadataOptions"),
    *("Monitoring", "UserData"),
)


def launch(client: Callable[[str], Any], group: Group) -> Member:
    """Launch an instance in the subnet that has the fewest.

    Args:
        client: service -> botocore client.
        group: the group.

    Raises:
        botocore.exceptions.ClientError: A service refused.
    """
    ec2 = client("ec2")
    named = dict(group.settings["LaunchTemplate"])
    asked = named.pop("Version", "$Default")
    found = ec2.describe_launch_template_versions(**named, Versions=[asked])
    version = found["LaunchTemplateVersions"][0]
    data, number = version["LaunchTemplateData"], str(version["VersionNumber"])
    used = [member.subnet for member in group.members]
    subnet = min(group.subnets, key=used.count)
    marks = {
        "aws:autoscaling:groupName": group.name,
        "aws:ec2launchtemplate:id": str(version["LaunchTemplateId"]),
        "aws:ec2launchtemplate:version": number,
    }
    made = ec2.run_instances(
        **{name: data[name] for name in _AS_THEY_ARE if name in data},
        ImageId=_image(client, group.region, str(data["ImageId"])),
        MinCount=1,
        MaxCount=1,
        SubnetId=subnet,
        SecurityGroupIds=checks.security_groups(data),
        TagSpecifications=_tags(data, group, marks),
    )["Instances"][0]
    zone = made["Placement"]["AvailabilityZone"]
    return Member(made["InstanceId"], made["InstanceType"], zone, subnet, number)


def _image(client: Callable[[str], Any], region: str, image: str) -> str:
    """The id of an image; a parameter of Systems Manager is read at each launch.

    The parameters of Amazon Linux have invented ids here, one for each parameter and region.
    """
    if not image.startswith(_RESOLVE):
        return image
    name = image.removeprefix(_RESOLVE)
    if checks.AMAZON_LINUX.fullmatch(image):
        return f"ami-{hashlib.sha256(f'{region}{name}'.encode()).hexdigest()[:17]}"
    return str(client("ssm").get_parameter(Name=name)["Parameter"]["Value"])


def _tags(data: Mapping[str, Any], group: Group, marks: Mapping[str, str]) -> list[dict[str, Any]]:
    specifications = {
        str(item["ResourceType"]): {tag["Key"]: tag["Value"] for tag in item["Tags"]}
        for item in data.get("TagSpecifications", [])
    }
    propagated = {
        tag["Key"]: tag.get("Value", "") for tag in group.tags if tag.get("PropagateAtLaunch")
    }
    instance = specifications.get("instance", {})
    specifications["instance"] = {**instance, **propagated, **marks}
    return [
        {"ResourceType": kind, "Tags": [{"Key": key, "Value": text} for key, text in tags.items()]}
        for kind, tags in specifications.items()
    ]
