"""What who deploys, pauses and deletes the stack needs.

CloudFormation makes the resources with the caller's permissions. Those can only be used through
CloudFormation, and only for the stack. But who may deploy makes roles, and could make one that may
do more: this piece is for administrators of the account.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sm_proxy.infra.policies import user
from sm_proxy.infra.policies.statement import Scope, Statement

_HANDLERS: Final = (
    "AWS CloudFormation registry, handlers of the resource types (cloudformation:DescribeType)"
)
_DRIFT: Final = "AWS CloudFormation User Guide, Detect unmanaged configuration changes"
_NETWORK: Final = (
    *("ec2:AllocateAddress", "ec2:AssociateRouteTable", "ec2:AttachInternetGateway"),
    *("ec2:AuthorizeSecurityGroupEgress", "ec2:AuthorizeSecurityGroupIngress"),
    *("ec2:CreateInternetGateway", "ec2:CreateLaunchTemplate", "ec2:CreateLaunchTemplateVersion"),
    *("ec2:CreateNatGateway", "ec2:CreateRoute", "ec2:CreateRouteTable"),
    *("ec2:CreateSecurityGroup", "ec2:CreateSubnet", "ec2:CreateTags", "ec2:CreateVpc"),
    *("ec2:CreateVpcEndpoint", "ec2:DeleteInternetGateway", "ec2:DeleteLaunchTemplate"),
    *("ec2:DeleteNatGateway", "ec2:DeleteRoute", "ec2:DeleteRouteTable"),
    *("ec2:DeleteSecurityGroup", "ec2:DeleteSubnet", "ec2:DeleteTags", "ec2:DeleteVpc"),
    *("ec2:DeleteVpcEndpoints", "ec2:DetachInternetGateway", "ec2:DisassociateAddress"),
    *("ec2:DisassociateRouteTable", "ec2:ModifyLaunchTemplate", "ec2:ModifySubnetAttribute"),
    *("ec2:ModifyVpcAttribute", "ec2:ModifyVpcEndpoint", "ec2:ReleaseAddress"),
    *("ec2:ReplaceRoute", "ec2:ReplaceRouteTableAssociation", "ec2:RevokeSecurityGroupEgress"),
    *("ec2:RevokeSecurityGroupIngress", "ec2:RunInstances", "route53:AssociateVPCWithHostedZone"),
)
_LOOK: Final = (
    *("ec2:Describe*", "logs:DescribeLogGroups", "logs:ListTagsForResource"),
    "ssm:GetParameters",
)
_GROUP: Final = (
    *("autoscaling:CreateAutoScalingGroup", "autoscaling:CreateOrUpdateTags"),
    *("autoscaling:DeleteAutoScalingGroup", "autoscaling:DeleteTags"),
    "autoscaling:UpdateAutoScalingGroup",
)
_ROLES: Final = (
    *("iam:AddRoleToInstanceProfile", "iam:CreateInstanceProfile", "iam:CreatePolicy"),
    *("iam:CreatePolicyVersion", "iam:CreateRole", "iam:DeleteInstanceProfile"),
    *("iam:DeletePolicy", "iam:DeletePolicyVersion", "iam:DeleteRole", "iam:DeleteRolePolicy"),
    *("iam:Get*", "iam:List*", "iam:PutRolePolicy", "iam:RemoveRoleFromInstanceProfile"),
    *("iam:TagInstanceProfile", "iam:TagPolicy", "iam:TagRole", "iam:UntagInstanceProfile"),
    *("iam:UntagPolicy", "iam:UntagRole", "iam:UpdateAssumeRolePolicy"),
)
_PASS: Final = ("iam:PassRole",)
_LINKED: Final = ("iam:CreateServiceLinkedRole",)
_BUCKET: Final = (
    *("s3:CreateBucket", "s3:DeleteBucket", "s3:DeleteBucketPolicy"),
    *("s3:Get*Configuration", "s3:GetBucket*"),
    *("s3:PutBucketOwnershipControls", "s3:PutBucketPolicy", "s3:PutBucketPublicAccessBlock"),
    *("s3:PutBucketTagging", "s3:PutEncryptionConfiguration", "s3:PutLifecycleConfiguration"),
)
_PROJECT: Final = (
    *("codebuild:BatchGetProjects", "codebuild:CreateProject", "codebuild:DeleteProject"),
    "codebuild:UpdateProject",
)
_LOG: Final = (
    *("logs:CreateLogGroup", "logs:DeleteLogGroup", "logs:PutRetentionPolicy"),
    *("logs:TagResource", "logs:UntagResource"),
)
_FOR_STACKS: Final = (
    *("cloudformation:BatchDescribeTypeConfigurations", "cloudformation:DetectStackResourceDrift"),
)
OWN: Final[Mapping[str, str]] = {
    **dict.fromkeys((*_NETWORK, *_LOOK, *_GROUP, *_ROLES, *_PASS, *_LINKED), _HANDLERS),
    **dict.fromkeys((*_BUCKET, *_PROJECT, *_LOG), _HANDLERS),
    **dict.fromkeys(_FOR_STACKS, _DRIFT),
    "cloudformation:TagResource": "Service Authorization Reference, AWS CloudFormation",
    "route53:AssociateVPCWithHostedZone": "Service Authorization Reference, Amazon EC2,"
    " CreateVpcEndpoint, dependent actions",
}
_THROUGH: Final[dict[str, dict[str, str | list[str]]]] = {
    "ForAnyValue:StringEquals": {"aws:CalledVia": "cloudformation.amazonaws.com"}
}
"""IAM User Guide, aws:CalledVia: CloudFormation calls other services for its caller."""


def statements(scope: Scope) -> tuple[Statement, ...]:
    """Our calls, then those that CloudFormation makes for the caller."""
    return (*_ours(scope), *_of_cloudformation(scope))


def _ours(scope: Scope) -> tuple[Statement, ...]:
    bucket = scope.s3(scope.bucket)
    repositories = (scope.arn("ecr", "repository/*"),)
    tagged: dict[str, Any] = {"StringEquals": {"aws:ResourceTag/sm-proxy:role": "image"}}
    return (
        Statement(
            "TheStack",
            (
                *("cloudformation:CreateStack", "cloudformation:DeleteStack"),
                *("cloudformation:DescribeStackEvents", "cloudformation:DescribeStackResources"),
                *("cloudformation:DescribeStackResourceDrifts", "cloudformation:DescribeStacks"),
                *("cloudformation:DetectStackDrift", "cloudformation:DetectStackResourceDrift"),
                *("cloudformation:GetTemplate", "cloudformation:TagResource"),
                "cloudformation:UpdateStack",
            ),
            (scope.arn("cloudformation", f"stack/{scope.stack}/*"),),
            "there is no stack",
        ),
        Statement(
            "Drift",
            (
                "cloudformation:BatchDescribeTypeConfigurations",
                "cloudformation:DescribeStackDriftDetectionStatus",
            ),
            ("*",),
            "`infra status --drift`",
            optional=True,
        ),
        Statement(
            "LookAround",
            (
                *("autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribeScalingActivities"),
                *("ec2:DescribeAvailabilityZones", "ec2:DescribeInstances"),
                *("ec2:DescribeNetworkInterfaces", "ec2:DescribeRouteTables"),
                *("ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcAttribute"),
                *("ec2:DescribeVpcEndpointServices", "ec2:DescribeVpcEndpoints"),
                *("ec2:DescribeVpcs", "sagemaker:DescribeTrainingJob", *user.OTHER_KINDS),
                "ssm:DescribeInstanceInformation",
            ),
            ("*",),
            "zones, services, jobs and the bastion are not found",
        ),
        Statement(
            "EmptyTheBucket",
            (
                *("s3:DeleteObject", "s3:DeleteObjectVersion", "s3:ListBucket"),
                "s3:ListBucketVersions",
            ),
            (bucket, f"{bucket}/*"),
            "`infra delete` cannot delete a bucket that is not empty",
        ),
        Statement(
            "FindImages",
            ("ecr:DescribeImages", "ecr:DescribeRepositories", "ecr:ListTagsForResource"),
            repositories,
            "`infra delete` does not say which images stay",
            optional=True,
        ),
        Statement(
            "DeleteImages",
            ("ecr:DeleteRepository",),
            repositories,
            "`infra delete --images`",
            tagged,
            optional=True,
        ),
    )


def _of_cloudformation(scope: Scope) -> tuple[Statement, ...]:
    stack = scope.stack
    names = ("role/{}-*", "instance-profile/{}-*", "policy/{}-*")
    roles = tuple(scope.iam(name.format(stack)) for name in names)
    services = ["codebuild.amazonaws.com", "ec2.amazonaws.com"]
    passed: dict[str, Any] = {**_THROUGH, "StringEquals": {"iam:PassedToService": services}}
    group = scope.arn("autoscaling", f"autoScalingGroup:*:autoScalingGroupName/{stack}-*")
    linked = scope.iam("role/aws-service-role/autoscaling.amazonaws.com/*")
    log = scope.arn("logs", f"log-group:{scope.build_log}*")
    project = scope.arn("codebuild", f"project/{scope.project}")
    bucket = scope.s3(scope.bucket)
    return (
        Statement("MakeTheNetwork", _NETWORK, ("*",), "no network and no bastion", _THROUGH),
        Statement("SeeItMade", _LOOK, ("*",), "CloudFormation cannot wait for it", _THROUGH),
        # Each action concerns resources of its own service only. Together they stay below the size
        # of a managed policy.
        Statement(
            "MakeTheRest",
            (*_GROUP, *_LINKED, *_ROLES, *_BUCKET, *_PROJECT, *_LOG),
            (group, linked, *roles, bucket, project, log),
            "no bastion, roles, policies, bucket, build project and log",
            _THROUGH,
        ),
        Statement("PassRoles", _PASS, roles[:1], "bastion and builds have no role", passed),
    )
