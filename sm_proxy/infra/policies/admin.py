"""What who deploys, pauses and deletes the stack needs.

CloudFormation makes the resources with the caller's permissions. Who may deploy makes roles, and
could make one that may do more: this piece is for administrators of the account.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sm_proxy.infra.policies.statement import Scope, Statement

_SOURCE: Final = (
    "AWS CloudFormation registry, handlers of the resource types (cloudformation:DescribeType)"
)
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
    *("ec2:DisassociateRouteTable", "ec2:ModifySubnetAttribute", "ec2:ModifyVpcAttribute"),
    *("ec2:ModifyVpcEndpoint", "ec2:ReleaseAddress", "ec2:ReplaceRoute"),
    *("ec2:RevokeSecurityGroupEgress", "ec2:RevokeSecurityGroupIngress", "ec2:RunInstances"),
)
_LOOK: Final = (
    *("autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribeScalingActivities"),
    *("ec2:DescribeAddresses", "ec2:DescribeInternetGateways"),
    *("ec2:DescribeLaunchTemplateVersions", "ec2:DescribeLaunchTemplates"),
    *("ec2:DescribeNatGateways", "ec2:DescribeSecurityGroupRules", "ec2:DescribeVpcAttribute"),
    *("logs:DescribeLogGroups", "logs:ListTagsForResource", "ssm:GetParameters"),
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
    *("iam:GetInstanceProfile", "iam:GetPolicy", "iam:GetPolicyVersion", "iam:GetRole"),
    *("iam:GetRolePolicy", "iam:ListAttachedRolePolicies", "iam:ListPolicyVersions"),
    *("iam:ListRolePolicies", "iam:PutRolePolicy", "iam:RemoveRoleFromInstanceProfile"),
    *("iam:TagInstanceProfile", "iam:TagPolicy", "iam:TagRole", "iam:UpdateAssumeRolePolicy"),
    *("iam:UntagInstanceProfile", "iam:UntagPolicy", "iam:UntagRole"),
)
_LINKED: Final = ("iam:CreateServiceLinkedRole",)
_BUCKET: Final = (
    *("s3:CreateBucket", "s3:DeleteBucket", "s3:DeleteBucketPolicy", "s3:GetBucketPolicy"),
    *("s3:GetBucketOwnershipControls", "s3:GetBucketPublicAccessBlock", "s3:GetBucketTagging"),
    *("s3:GetEncryptionConfiguration", "s3:GetLifecycleConfiguration"),
    *("s3:PutBucketOwnershipControls", "s3:PutBucketPolicy", "s3:PutBucketPublicAccessBlock"),
    *("s3:PutBucketTagging", "s3:PutEncryptionConfiguration", "s3:PutLifecycleConfiguration"),
)
_PROJECT: Final = ("codebuild:CreateProject", "codebuild:DeleteProject", "codebuild:UpdateProject")
_LOG: Final = (
    *("logs:CreateLogGroup", "logs:DeleteLogGroup", "logs:PutRetentionPolicy"),
    *("logs:TagResource", "logs:UntagResource"),
)
OWN: Final[Mapping[str, str]] = dict.fromkeys(
    (*_NETWORK, *_LOOK, *_GROUP, *_ROLES, *_LINKED, *_BUCKET, *_PROJECT, *_LOG, "iam:PassRole"),
    _SOURCE,
)


def statements(scope: Scope) -> tuple[Statement, ...]:
    """Our calls, then those that CloudFormation makes for the caller."""
    return (*_ours(scope), *_of_cloudformation(scope))


def _ours(scope: Scope) -> tuple[Statement, ...]:
    bucket = scope.s3(scope.bucket)
    return (
        Statement(
            "TheStack",
            (
                *("cloudformation:CreateStack", "cloudformation:DeleteStack"),
                "cloudformation:DescribeStackDriftDetectionStatus",
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
            "LookAround",
            (
                *("ec2:DescribeAvailabilityZones", "ec2:DescribeInstances"),
                *("ec2:DescribeNetworkAcls", "ec2:DescribeNetworkInterfaces"),
                *("ec2:DescribeRouteTables", "ec2:DescribeSecurityGroups"),
                *("ec2:DescribeSubnets", "ec2:DescribeVpcEndpointServices"),
                *("ec2:DescribeVpcEndpoints", "ec2:DescribeVpcs"),
                *("sagemaker:DescribeProcessingJob", "sagemaker:DescribeTrainingJob"),
                *("sagemaker:ListProcessingJobs", "sagemaker:ListTrainingJobs"),
                "ssm:DescribeInstanceInformation",
            ),
            ("*",),
            "zones, services, jobs and the bastion are not found",
        ),
        Statement(
            "EmptyTheBucket",
            ("s3:DeleteObject", "s3:ListBucket"),
            (bucket, f"{bucket}/*"),
            "`infra delete` cannot delete a bucket that is not empty",
        ),
    )


def _of_cloudformation(scope: Scope) -> tuple[Statement, ...]:
    stack = scope.stack
    names = ("role/{}-*", "instance-profile/{}-*", "policy/{}-*")
    roles = tuple(scope.iam(name.format(stack)) for name in names)
    group = scope.arn("autoscaling", f"autoScalingGroup:*:autoScalingGroupName/{stack}-*")
    linked = scope.iam("role/aws-service-role/autoscaling.amazonaws.com/*")
    services = ["codebuild.amazonaws.com", "ec2.amazonaws.com"]
    passed: dict[str, Any] = {"StringEquals": {"iam:PassedToService": services}}
    log = scope.arn("logs", f"log-group:{scope.build_log}*")
    project = scope.arn("codebuild", f"project/{scope.project}")
    bucket = scope.s3(scope.bucket)
    return (
        Statement("MakeTheNetwork", _NETWORK, ("*",), "the VPC, groups and bastion"),
        Statement("SeeItMade", _LOOK, ("*",), "CloudFormation waits for what it makes"),
        Statement("MakeTheBastionsGroup", _GROUP, (group,), "the bastion"),
        Statement("MakeTheFirstGroup", _LINKED, (linked,), "the first Auto Scaling group"),
        Statement("MakeRolesAndPolicies", _ROLES, roles, "roles and policies"),
        Statement("PassRoles", ("iam:PassRole",), roles[:1], "bastion and build project", passed),
        Statement("MakeTheBucket", _BUCKET, (bucket,), "the bucket"),
        Statement("MakeTheProject", _PROJECT, (project,), "the build project"),
        Statement("MakeTheLogGroup", _LOG, (log,), "the build's log"),
    )
