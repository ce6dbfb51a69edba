"""Launch templates and Auto Scaling groups."""

from __future__ import annotations

from typing import Any, Final

from sm_proxy_lab.aws.cloudformation.resource_type import (
    Context,
    GoneError,
    Made,
    Properties,
    ResourceType,
)
from sm_proxy_lab.aws.cloudformation.types import ec2_tags
from sm_proxy_lab.aws.http.call import ACCOUNT

_SIZES: Final = ("MinSize", "MaxSize", "DesiredCapacity", "MaxInstanceLifetime")
_NUMBERS: Final = (*_SIZES, "HealthCheckGracePeriod")


class LaunchTemplate(ResourceType):
    """AWS::EC2::LaunchTemplate. A change makes a new version of it."""

    in_place = frozenset({"LaunchTemplateData"})
    fixed = frozenset({"LaunchTemplateName", "TagSpecifications"})
    required = frozenset({"LaunchTemplateData"})

    def create(self, context: Context, properties: Properties) -> Made:
        """Make it, with its first version."""
        ec2 = context.client("ec2")
        own = properties.get("TagSpecifications", [])
        tags = [tag for item in own for tag in item["Tags"]]
        made = ec2.create_launch_template(
            LaunchTemplateName=properties.get("LaunchTemplateName") or context.unique_name(128),
            LaunchTemplateData=properties["LaunchTemplateData"],
            TagSpecifications=ec2_tags.specification(context, "launch-template", {"Tags": tags}),
        )["LaunchTemplate"]
        return _template(made["LaunchTemplateId"], 1)

    def update(self, context: Context, made: Made, _old: Properties, new: Properties) -> Made:
        """Make a new version, which is the latest but not the default."""
        answer = context.client("ec2").create_launch_template_version(
            LaunchTemplateId=made.id, LaunchTemplateData=new["LaunchTemplateData"]
        )
        return _template(made.id, int(answer["LaunchTemplateVersion"]["VersionNumber"]))

    def delete(self, context: Context, made: Made, _properties: Properties) -> None:
        """Delete it, with all versions."""
        context.client("ec2").delete_launch_template(LaunchTemplateId=made.id)

    def read(self, context: Context, made: Made, _properties: Properties) -> Properties:
        """Nothing but that it exists, as the registry's handler."""
        context.client("ec2").describe_launch_templates(LaunchTemplateIds=[made.id])
        return {}


def _template(name: str, latest: int) -> Made:
    versions = {"DefaultVersionNumber": "1", "LatestVersionNumber": str(latest)}
    return Made(name, {"LaunchTemplateId": name, **versions})


class AutoScalingGroup(ResourceType):
    """AWS::AutoScaling::AutoScalingGroup."""

    in_place = frozenset(
        {
            *(*_NUMBERS, "HealthCheckType", "LaunchTemplate", "NewInstancesProtectedFromScaleIn"),
            *("Tags", "TerminationPolicies", "VPCZoneIdentifier"),
        }
    )
    fixed = frozenset({"AutoScalingGroupName"})
    required = frozenset({"MaxSize", "MinSize"})

    def create(self, context: Context, properties: Properties) -> Made:
        """Make it; it launches its instances."""
        scaling = context.client("autoscaling")
        name = properties.get("AutoScalingGroupName") or context.unique_name()
        stack = [
            {"Key": key, "Value": value, "PropagateAtLaunch": True}
            for key, value in {**context.marks, **context.tags}.items()
        ]
        own = [*properties.get("Tags", [])]
        kept = [tag for tag in stack if tag["Key"] not in {item["Key"] for item in own}]
        scaling.create_auto_scaling_group(
            AutoScalingGroupName=name, Tags=[*kept, *own], **_request(properties)
        )
        place = f"autoscaling:{context.region}:{ACCOUNT}:autoScalingGroup"
        found = Made(name, {"AutoScalingGroupARN": f"arn:{context.partition}:{place}:{name}"})
        context.begun(found)
        scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])
        return found

    def update(self, context: Context, made: Made, old: Properties, new: Properties) -> Made:
        """Change its size, its template and its tags."""
        scaling = context.client("autoscaling")
        before, after = _tags(made.id, old), _tags(made.id, new)
        if gone := [tag for key, tag in before.items() if key not in after]:
            scaling.delete_tags(Tags=gone)
        if more := [tag for key, tag in after.items() if before.get(key) != tag]:
            scaling.create_or_update_tags(Tags=more)
        scaling.update_auto_scaling_group(AutoScalingGroupName=made.id, **_request(new))
        return made

    def delete(self, context: Context, made: Made, _properties: Properties) -> None:
        """End its instances, and delete it."""
        scaling = context.client("autoscaling")
        found = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[made.id])
        if not found["AutoScalingGroups"]:
            return
        none = {"MinSize": 0, "MaxSize": 0, "DesiredCapacity": 0}
        scaling.update_auto_scaling_group(AutoScalingGroupName=made.id, **none)
        scaling.delete_auto_scaling_group(AutoScalingGroupName=made.id)

    def read(self, context: Context, made: Made, properties: Properties) -> Properties:
        """Its sizes, its subnets and its launch template."""
        answer = context.client("autoscaling").describe_auto_scaling_groups(
            AutoScalingGroupNames=[made.id]
        )
        if not answer["AutoScalingGroups"]:
            raise GoneError
        found = answer["AutoScalingGroups"][0]
        read: dict[str, Any] = {name: str(found[name]) for name in _SIZES if name in found}
        read["VPCZoneIdentifier"] = found["VPCZoneIdentifier"].split(",")
        wanted = properties.get("LaunchTemplate", {})
        read["LaunchTemplate"] = {
            name: found.get("LaunchTemplate", {}).get(name, "") for name in wanted
        }
        return read


def _tags(group: str, properties: Properties) -> dict[str, dict[str, Any]]:
    """The tags of a group by key, as Auto Scaling's API takes them."""
    place = {"ResourceId": group, "ResourceType": "auto-scaling-group"}
    return {tag["Key"]: {**tag, **place} for tag in properties.get("Tags", [])}


def _request(properties: Properties) -> dict[str, Any]:
    """The properties as Auto Scaling's API takes them."""
    names = {"HealthCheckType", "LaunchTemplate", "NewInstancesProtectedFromScaleIn"}
    names |= {"TerminationPolicies"}
    request = {name: properties[name] for name in properties if name in names}
    request |= {name: int(properties[name]) for name in _NUMBERS if name in properties}
    if "VPCZoneIdentifier" in properties:
        request["VPCZoneIdentifier"] = ",".join(properties["VPCZoneIdentifier"])
    return request
