"""The bastion: one small instance that its Auto Scaling group replaces when it fails or ages."""

from __future__ import annotations

from typing import Any, Final

from sm_proxy.infra import policies
from sm_proxy.infra.parts import network, roles
from sm_proxy.infra.parts.resource import (
    Resources,
    attribute,
    name_tag,
    ref,
    resource,
    sub,
    substituted,
)
from sm_proxy.infra.plan import Plan

_DAY_S: Final = 86_400
_IMAGE: Final = "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{}"
"""Resolved at each launch, so each new bastion has the newest image; a parameter of the template
would keep the image of the day on which the stack was made."""


def resources(plan: Plan) -> Resources:
    """Role, profile, launch template and group."""
    return {
        "BastionRole": roles.role(
            # EC2 sends no aws:SourceAccount when an instance gets its role's keys, so the trust
            # cannot ask for it.
            {"Service": "ec2.amazonaws.com"},
            substituted(policies.document("bastion", policies.Scope.of_template())),
            guarded=False,
        ),
        "BastionProfile": resource("IAM::InstanceProfile", {"Roles": [ref("BastionRole")]}),
        "BastionTemplate": resource("EC2::LaunchTemplate", {"LaunchTemplateData": _launch(plan)}),
        "Bastion": resource(
            "AutoScaling::AutoScalingGroup",
            {
                "MinSize": "0",
                "MaxSize": "1",
                "DesiredCapacity": ref("BastionCount"),
                "LaunchTemplate": {
                    "LaunchTemplateId": ref("BastionTemplate"),
                    "Version": attribute("LatestVersionNumber", "BastionTemplate"),
                },
                "MaxInstanceLifetime": plan.bastion_days * _DAY_S,
                "VPCZoneIdentifier": list(network.private_subnets(plan)),
                "Tags": [
                    {**tag, "PropagateAtLaunch": True}
                    for tag in (
                        {"Key": "sm-proxy:role", "Value": "bastion"},
                        *name_tag("bastion"),
                    )
                ],
            },
            network.way_out(plan),
        ),
    }


def _launch(plan: Plan) -> dict[str, Any]:
    return {
        "ImageId": _IMAGE.format(plan.architecture),
        "InstanceType": ref("BastionType"),
        "IamInstanceProfile": {"Arn": attribute("Arn", "BastionProfile")},
        "MetadataOptions": {
            "HttpEndpoint": "enabled",
            "HttpTokens": "required",
            "HttpPutResponseHopLimit": 1,
        },
        "NetworkInterfaces": [
            {
                "DeviceIndex": 0,
                "AssociatePublicIpAddress": False,
                "Groups": [attribute("GroupId", "BastionGroup")],
            }
        ],
        "BlockDeviceMappings": [
            {
                "DeviceName": "/dev/xvda",
                "Ebs": {
                    "VolumeType": "gp3",
                    "VolumeSize": 8,
                    "Encrypted": True,
                    "DeleteOnTermination": True,
                },
            }
        ],
        "TagSpecifications": [
            {
                "ResourceType": "volume",
                "Tags": [{"Key": "sm-proxy:stack", "Value": sub("${AWS::StackName}")}],
            }
        ],
    }
