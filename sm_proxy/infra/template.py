"""The CloudFormation template of a plan: plain resources, no loops and no conditions."""

from __future__ import annotations

from typing import Any, Final

import yaml

from sm_proxy.infra import json_text
from sm_proxy.infra.parts import bastion, build, groups, network, roles
from sm_proxy.infra.parts.resource import Resources, attribute, ref
from sm_proxy.infra.plan import Plan

LARGEST: Final = 51_200
"""Bytes of a TemplateBody (AWS CloudFormation User Guide, quotas)."""
METADATA: Final = "sm-proxy"
"""Where the template keeps its plan, so that a later version can go on from it."""
_PROCESSOR: Final = {
    "arm64": r"(a1|[a-z]+[0-9]+g[a-z]*)\.[a-z0-9-]+",
    "x86_64": r"[a-z]+[0-9]+[a-fh-z]*(-[a-z]+)?\.[a-z0-9-]+",
}
"""Instance types: the image of the bastion is for one processor."""
_WIDTH: Final = 100
_PARTS: Final = (network, groups, bastion, roles, build)
"""In the order in which the template has them."""


def render(plan: Plan) -> dict[str, Any]:
    """The template."""
    resources: Resources = {}
    for part in _PARTS:
        resources |= part.resources(plan)
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "sm-proxy: a network for jobs, a bastion, roles, and a project that builds "
        "images",
        # The plan names its zones: Fn::GetAZs only knows those with a default subnet.
        "Metadata": {
            METADATA: plan.as_data(),
            "cfn-lint": {"config": {"ignore_checks": ["W3010"]}},
        },
        "Parameters": _parameters(plan),
        "Resources": resources,
        "Outputs": _outputs(plan),
    }


def as_json(template: dict[str, Any]) -> str:
    """For people and for TemplateBody."""
    return json_text.dumps(template)


def as_yaml(template: dict[str, Any]) -> str:
    """The same in YAML, with the long form of functions."""
    text: str = yaml.dump(template, Dumper=_Plain, sort_keys=False, width=_WIDTH)
    return text


class _Plain(yaml.SafeDumper):
    """Without anchors: CloudFormation refuses them."""

    def ignore_aliases(self, data: Any) -> bool:
        """Always."""
        del data
        return True


def _parameters(plan: Plan) -> dict[str, Any]:
    found: dict[str, Any] = {
        "BastionType": {
            "Type": "String",
            "Default": plan.bastion_type,
            "AllowedPattern": _PROCESSOR[plan.architecture],
            "Description": f"instance type of the bastion, with a processor of {plan.architecture}",
        },
        "BastionCount": {
            "Type": "String",
            "Default": "1",
            "AllowedValues": ["0", "1"],
            "Description": "0 pauses the bastion",
        },
    }
    if plan.existing is None:
        found["Prefix"] = {
            "Type": "String",
            "Default": plan.prefix,
            "AllowedPattern": r"10\.\d{1,3}|172\.(1[6-9]|2\d|3[01])|192\.168",
            "Description": "first two octets of the addresses of the VPC",
        }
    return found


def _outputs(plan: Plan) -> dict[str, Any]:
    values: dict[str, Any] = {
        "VpcId": network.vpc(plan),
        "Subnets": {"Fn::Join": [",", list(network.private_subnets(plan))]},
        "JobGroup": attribute("GroupId", "JobGroup"),
        "BastionGroup": attribute("GroupId", "BastionGroup"),
        "Bastion": ref("Bastion"),
        "JobRole": attribute("Arn", "JobRole"),
        "BuildProject": ref("BuildProject"),
        "Bucket": ref("Bucket"),
        "UserPolicy": ref("UserPolicy"),
        "LauncherPolicy": ref("LauncherPolicy"),
    }
    if plan.existing is not None:
        values["Subnets"] = ",".join(plan.existing.subnets)
    return {name: {"Value": value} for name, value in values.items()}
