"""The piece `admin` against CloudFormation's own schemas: what each handler of a type may call.

The schemas come with cfn-lint. A permission that `admin` lacks stands here with what would need it.
AWS::CodeBuild::Project is not in the registry: no schema says what its handlers call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

import pytest

from sm_proxy.infra import policies
from sm_proxy.infra.policies import Scope
from tests.infra import plans
from tests.infra.schemas import schemas

WITHOUT_HANDLERS: Final = {"AWS::CodeBuild::Project"}
FEATURES: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "AWS::AutoScaling::AutoScalingGroup": {
        "LoadBalancerNames": ("autoscaling:*LoadBalancers", "elasticloadbalancing:Describe*"),
        "TargetGroupARNs": ("autoscaling:*LoadBalancerTargetGroups",),
        "TrafficSources": ("autoscaling:*TrafficSources", "vpc-lattice:*"),
        "LifecycleHookSpecificationList": ("autoscaling:*LifecycleHook",),
        "NotificationConfiguration": ("autoscaling:*NotificationConfiguration",),
        "NotificationConfigurations": ("autoscaling:*NotificationConfiguration",),
        "MetricsCollection": ("autoscaling:*MetricsCollection", "cloudwatch:PutMetricAlarm"),
        # Its attribute InstanceRequirements asks which instance types there are.
        "MixedInstancesPolicy": ("ec2:Get*",),
        "UpdatePolicy": ("autoscaling:*InstanceRefresh", "autoscaling:*Processes"),
    },
    "AWS::EC2::EIP": {
        "InstanceId": ("ec2:AssociateAddress",),
        "TransferAddress": ("ec2:AcceptAddressTransfer",),
    },
    "AWS::EC2::NatGateway": {
        "SecondaryAllocationIds": ("ec2:*NatGatewayAddress",),
        "SecondaryPrivateIpAddresses": ("ec2:*PrivateNatGatewayAddress",),
        "SecondaryPrivateIpAddressCount": ("ec2:*PrivateNatGatewayAddress",),
    },
    "AWS::EC2::Subnet": {
        "Ipv6CidrBlock": ("ec2:*SubnetCidrBlock",),
        "Ipv6NetmaskLength": ("ec2:*SubnetCidrBlock",),
    },
    "AWS::EC2::VPC": {
        "InstanceTenancy": ("ec2:ModifyVpcTenancy",),
        "VpcEncryptionControl": ("ec2:CreateVpcEncryptionControl",),
    },
    "AWS::EC2::VPCEndpoint": {
        "ServiceNetworkArn": ("vpc-lattice:*",),
        "ResourceConfigurationArn": ("vpc-lattice:*",),
        "ServiceRegion": ("vpce:AllowMultiRegion",),
    },
    "AWS::EC2::VPCGatewayAttachment": {"VpnGatewayId": ("ec2:*VpnGateway",)},
    "AWS::IAM::ManagedPolicy": {
        "Groups": ("iam:AttachGroupPolicy",),
        "Roles": ("iam:AttachRolePolicy",),
        "Users": ("iam:AttachUserPolicy",),
    },
    "AWS::IAM::Role": {
        "ManagedPolicyArns": ("iam:AttachRolePolicy",),
        "PermissionsBoundary": ("iam:*RolePermissionsBoundary",),
    },
    "AWS::Logs::LogGroup": {
        "BearerTokenAuthenticationEnabled": ("logs:PutBearerTokenAuthentication",),
        "DataProtectionPolicy": (
            *("logs:*DataProtectionPolicy", "logs:CreateLogDelivery"),
            *("firehose:TagDeliveryStream", "s3:REST.PUT.OBJECT"),
        ),
        "DeletionProtectionEnabled": ("logs:PutLogGroupDeletionProtection",),
        "FieldIndexPolicies": ("logs:*IndexPolicy",),
        "KmsKeyId": ("logs:*KmsKey",),
        "ResourcePolicyDocument": ("logs:*ResourcePolicy",),
    },
    "AWS::S3::Bucket": {
        "AbacStatus": ("s3:PutBucketAbac",),
        "AccelerateConfiguration": ("s3:PutAccelerateConfiguration",),
        "AccessControl": ("s3:PutBucketAcl", "s3:PutObjectAcl"),
        "AnalyticsConfigurations": ("s3:*AnalyticsConfiguration",),
        "CorsConfiguration": ("s3:PutBucketCORS", "s3:DeleteBucketCors"),
        "IntelligentTieringConfigurations": ("s3:PutIntelligentTieringConfiguration",),
        "InventoryConfigurations": ("s3:PutInventoryConfiguration",),
        "LoggingConfiguration": ("s3:PutBucketLogging",),
        "MetadataConfiguration": ("s3:*BucketMetadata*TableConfiguration", "s3tables:*"),
        "MetadataTableConfiguration": ("s3:*BucketMetadata*TableConfiguration", "s3tables:*"),
        "MetricsConfigurations": ("s3:*MetricsConfiguration",),
        "NotificationConfiguration": ("s3:PutBucketNotification",),
        "ObjectLockConfiguration": ("s3:*ObjectLockConfiguration",),
        "ReplicationConfiguration": ("s3:*Replication*",),
        "VersioningConfiguration": ("s3:PutBucketVersioning",),
        "WebsiteConfiguration": ("s3:*BucketWebsite",),
    },
}
"""Type -> a property or attribute that we do not set -> what it would need."""
TAKEN_AWAY: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "AWS::Logs::LogGroup": {"RetentionInDays": ("logs:DeleteRetentionPolicy",)},
    "AWS::S3::Bucket": {
        "BucketEncryption": ("s3:DeleteBucketEncryption",),
        "LifecycleConfiguration": ("s3:DeleteBucketLifecycle",),
    },
}
"""Type -> a property that we always set -> what an update that takes it away would need."""
_LISTED: Final = {
    "s3:ListAllMyBuckets": "only `list` needs it, which no operation on a stack calls"
}
OTHER: Final[Mapping[str, Mapping[str, str]]] = {
    "AWS::AutoScaling::AutoScalingGroup": {
        "managed-fleets:*": "no property of the type is about managed fleets",
        "ssm:Get*": "GetParameters is enough for an image that a parameter names: Auto Scaling User"
        " Guide, Control Amazon EC2 launch template usage",
    },
    "AWS::S3::Bucket": _LISTED,
    "AWS::S3::BucketPolicy": _LISTED,
}
"""Type -> permission -> why `admin` lacks it."""


@dataclass(frozen=True)
class Found:
    """What our templates have of a type: names that some or all resources set."""

    some: frozenset[str]
    every: frozenset[str]


def ours() -> dict[str, Found]:
    found: dict[str, list[set[str]]] = {}
    for made in (*plans.VARIED.values(), plans.LARGEST):
        for resource in plans.resources(made).values():
            names = set(resource) | set(resource.get("Properties", {}))
            found.setdefault(resource["Type"], []).append(names)
    return {
        kind: Found(frozenset(set.union(*sets)), frozenset(set.intersection(*sets)))
        for kind, sets in found.items()
    }


OURS: Final = ours()


@pytest.fixture(scope="module")
def handlers() -> dict[str, dict[str, set[str]]]:
    """Type -> handler -> permissions."""
    return {
        kind: {name: set(handler["permissions"]) for name, handler in schema["handlers"].items()}
        for kind, schema in schemas(OURS).items()
        if "handlers" in schema
    }


def fits(permission: str, patterns: Iterator[str] | tuple[str, ...]) -> bool:
    return any(fnmatchcase(permission.lower(), pattern.lower()) for pattern in patterns)


def excepted(kind: str) -> tuple[str, ...]:
    """The permissions of a type that `admin` may lack."""
    rows = (*FEATURES.get(kind, {}).values(), *TAKEN_AWAY.get(kind, {}).values())
    return (*(pattern for row in rows for pattern in row), *OTHER.get(kind, {}))


def admin() -> tuple[str, ...]:
    scope = Scope("aws", "eu-west-1", "111122223333")
    return tuple(action for row in policies.statements("admin", scope) for action in row.actions)


def test_each_type_has_handlers_except_one(handlers: dict[str, Any]) -> None:
    assert OURS.keys() - handlers.keys() == WITHOUT_HANDLERS


@pytest.mark.parametrize("kind", sorted(OURS.keys() - WITHOUT_HANDLERS))
def test_admin_has_what_the_handlers_of_a_type_need(
    kind: str, handlers: dict[str, dict[str, set[str]]]
) -> None:
    needed = set().union(*handlers[kind].values())
    lacking = {permission for permission in needed if not fits(permission, admin())}
    known = excepted(kind)
    assert {permission for permission in lacking if not fits(permission, known)} == set()
    idle = [pattern for pattern in known if not any(fits(name, (pattern,)) for name in lacking)]
    assert idle == [], "exceptions that nothing needs"


def test_we_do_not_set_what_admin_has_no_permission_for() -> None:
    found = {kind: OURS[kind].some & rows.keys() for kind, rows in FEATURES.items()}
    assert {kind: names for kind, names in found.items() if names} == {}


def test_we_set_what_admin_may_not_take_away() -> None:
    found = {kind: rows.keys() - OURS[kind].every for kind, rows in TAKEN_AWAY.items()}
    assert {kind: names for kind, names in found.items() if names} == {}
