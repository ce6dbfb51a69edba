"""What Auto Scaling checks of a group's subnets and launch template, before it launches anything.

Source: Amazon EC2 Auto Scaling User Guide, the page on launch templates in "Troubleshoot Amazon
EC2 Auto Scaling".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from sm_proxy_lab.aws import instance_types, moto_app
from sm_proxy_lab.aws.autoscaling.groups import Group
from sm_proxy_lab.aws.http.call import ACCOUNT
from sm_proxy_lab.aws.http.errors import AwsError
from sm_proxy_lab.aws.vpc import records

AMAZON_LINUX: Final = re.compile(
    r"resolve:ssm:/aws/service/ami-amazon-linux-latest/"
    r"(?:al2023-ami-(?:minimal-)?kernel-(?:default|6\.\d+)|amzn2-ami-(?:minimal-)?hvm)-(arm64|x86_64)"
)
"""The public parameters with the newest images of Amazon Linux; the group is the architecture."""


def check(partition: str, group: Group) -> None:
    """Refuse a group whose instances could not be launched.

    Args:
        partition: of the caller.
        group: the group.

    Raises:
        AwsError: ValidationError.
    """
    with records.opened(group.region) as backend:
        known = {name: item for zone in backend.subnets.values() for name, item in zone.items()}
        if missing := [name for name in group.subnets if name not in known]:
            raise _invalid(f"The subnet ID '{missing[0]}' does not exist")
        vpcs = {str(known[name].vpc_id) for name in group.subnets}
        if len(vpcs) > 1:
            raise _invalid("The subnets of the group must be in one VPC.")
        data = _data(backend, group.settings["LaunchTemplate"])
        groups = {name: vpc for vpc, found in backend.groups.items() for name in found}
    for name in security_groups(data):
        if groups.get(name) not in vpcs:
            raise unusable(f"The security group '{name}' does not exist in VPC '{min(vpcs)}'")
    _check_profile(partition, data.get("IamInstanceProfile") or {})
    _check_type(str(data.get("ImageId", "")), str(data.get("InstanceType", "")))


def security_groups(data: Mapping[str, Any]) -> list[str]:
    """The security groups of a launch template, which may be those of the first interface."""
    interfaces = data.get("NetworkInterfaces") or [{}]
    return list(data.get("SecurityGroupIds") or interfaces[0].get("Groups") or [])


def unusable(reason: str) -> AwsError:
    """The error for a launch template from which no instance can be launched."""
    return _invalid(f"You must use a valid fully-formed launch template. {reason}")


def _invalid(message: str) -> AwsError:
    return AwsError("ValidationError", message)


def _data(backend: Any, named: Mapping[str, Any]) -> dict[str, Any]:
    """What the launch template says, in the version that the group names."""
    wanted = named.get("LaunchTemplateId") or named.get("LaunchTemplateName")
    templates = backend.launch_templates.values()
    template = next((item for item in templates if wanted in {item.id, item.name}), None)
    if template is None:
        raise unusable(f"The specified launch template, '{wanted}', does not exist.")
    version = str(named.get("Version", "$Default"))
    numbers = {"$Default": template.default_version_number, "$Latest": len(template.versions)}
    number = int(numbers.get(version, version))
    if not 1 <= number <= len(template.versions):
        words = f"Could not find the specified version {version} for the launch template with ID"
        raise unusable(f"{words} {template.id}.")
    return dict(template.versions[number - 1].data)


def _check_profile(partition: str, named: Mapping[str, str]) -> None:
    from moto.iam.models import iam_backends  # noqa: PLC0415 - as in `records.opened`

    if not named:
        return
    with moto_app.LOCK:
        profiles = list(iam_backends[ACCOUNT][partition].instance_profiles.values())
    if "Name" in named and named["Name"] not in {item.name for item in profiles}:
        raise unusable(f"Invalid IAM Instance Profile name ({named['Name']})")
    if "Arn" in named and named["Arn"] not in {item.arn for item in profiles}:
        raise unusable(f"Invalid IAM Instance Profile ARN ({named['Arn']})")


def _check_type(image: str, kind: str) -> None:
    """Whether the instance type exists and can run the image, as far as its name tells."""
    known = instance_types.known()
    if kind not in known:
        raise unusable(f"The following supplied instance types do not exist: [{kind}]")
    found, runs = AMAZON_LINUX.fullmatch(image), known[kind]["ProcessorInfo"]
    architectures = runs["SupportedArchitectures"]
    if found is not None and found[1] not in architectures:
        raise unusable(
            f"The architecture '{architectures[-1]}' of the specified instance type does not match "
            f"the architecture '{found[1]}' of the specified AMI. Specify an instance type and an "
            "AMI that have matching architectures, and try again."
        )
