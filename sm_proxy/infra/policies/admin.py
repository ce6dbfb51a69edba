"""What administrators who deploy, pause and delete the stack need.

CloudFormation makes the resources with the caller's permissions. Those can only be used through
CloudFormation, and only for the stack; what Auto Scaling checks when a group gets its launch
template is not tied to CloudFormation. But a user who may deploy makes roles, and could make one
with more permissions: this policy is for administrators of the account.

A pattern such as `iam:*InstanceProfile` stands where all actions that it fits are about something
that we make: the document has to stay below the size of a managed policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sm_proxy.aws import stack_names
from sm_proxy.infra.policies import user
from sm_proxy.infra.policies.statement import Scope, Statement

WHO: Final = "administrators who deploy and delete the stack"
_HANDLERS: Final = (
    "AWS CloudFormation registry, handlers of the resource types (cloudformation:DescribeType)"
)
_LAUNCH_PAGE: Final = (
    "Amazon EC2 Auto Scaling User Guide, Control Amazon EC2 launch template usage in Auto Scaling"
    " groups"
)
_DRIFT: Final = "AWS CloudFormation User Guide, Detect unmanaged configuration changes"
_NETWORK: Final = (
    *("ec2:*LaunchTemplate*", "ec2:*NatGateway", "ec2:*SecurityGroup*"),
    *("ec2:AllocateAddress", "ec2:AssociateRouteTable", "ec2:AttachInternetGateway"),
    *("ec2:CreateInternetGateway", "ec2:CreateRoute", "ec2:CreateRouteTable"),
    *("ec2:CreateSubnet", "ec2:CreateTags", "ec2:CreateVpc", "ec2:CreateVpcEndpoint"),
    *("ec2:DeleteInternetGateway", "ec2:DeleteRoute", "ec2:DeleteRouteTable"),
    *("ec2:DeleteSubnet", "ec2:DeleteTags", "ec2:DeleteVpc", "ec2:DeleteVpcEndpoints"),
    *("ec2:DetachInternetGateway", "ec2:DisassociateAddress", "ec2:DisassociateRouteTable"),
    *("ec2:ModifySubnetAttribute", "ec2:ModifyVpcAttribute", "ec2:ModifyVpcEndpoint"),
    *("ec2:ReleaseAddress", "ec2:ReplaceRoute", "ec2:ReplaceRouteTableAssociation"),
    "route53:AssociateVPCWithHostedZone",
)
_LOOK: Final = (
    *("autoscaling:Describe*", "ec2:Describe*", "logs:Describe*"),
    *("logs:GetDataProtectionPolicy", "logs:ListTagsForResource"),
)
_GROUP: Final = ("autoscaling:*AutoScalingGroup", "autoscaling:*Tags")
_LAUNCH: Final = ("ec2:RunInstances", "ssm:GetParameters")
_TAG_AT_LAUNCH: Final = ("ec2:CreateTags",)
_ROLES: Final = (
    *("iam:*InstanceProfile", "iam:CreatePolicy*", "iam:CreateRole", "iam:DeletePolicy*"),
    *("iam:DeleteRole", "iam:DeleteRolePolicy", "iam:DetachRolePolicy", "iam:Get*", "iam:List*"),
    *("iam:PutRolePolicy", "iam:Tag*", "iam:Untag*", "iam:UpdateAssumeRolePolicy"),
    "iam:UpdateRole*",
)
_DETACH: Final = ("iam:DetachGroupPolicy", "iam:DetachRolePolicy", "iam:DetachUserPolicy")
_PASS: Final = ("iam:PassRole",)
_LINKED: Final = ("iam:CreateServiceLinkedRole",)
_BUCKET: Final = (
    *("s3:CreateBucket", "s3:DeleteBucket", "s3:DeleteBucketPolicy"),
    *("s3:Get*Configuration", "s3:GetBucket*", "s3:ListTagsForResource"),
    *("s3:PutBucketOwnershipControls", "s3:PutBucketPolicy", "s3:PutBucketPublicAccessBlock"),
    *("s3:PutBucketTagging", "s3:PutEncryptionConfiguration", "s3:PutLifecycleConfiguration"),
    *("s3:TagResource", "s3:UntagResource"),
)
_PROJECT: Final = ("codebuild:*Project", "codebuild:BatchGetProjects")
_LOG: Final = (
    *("logs:CreateLogGroup", "logs:DeleteLogGroup", "logs:PutRetentionPolicy"),
    *("logs:TagResource", "logs:UntagResource"),
)
_FOR_STACKS: Final = (
    *("cloudformation:BatchDescribeTypeConfigurations", "cloudformation:DetectStackResourceDrift"),
)
OWN: Final[Mapping[str, str]] = {
    **dict.fromkeys((*_NETWORK, *_LOOK, *_GROUP, *_ROLES, *_DETACH, *_LINKED), _HANDLERS),
    **dict.fromkeys((*_BUCKET, *_LOG), _HANDLERS),
    # The handlers of AWS::CodeBuild::Project are not in the registry: these follow its API.
    **dict.fromkeys(_PROJECT, "AWS CodeBuild API Reference, CreateProject and its like"),
    **dict.fromkeys((*_LAUNCH, *_TAG_AT_LAUNCH, *_PASS), _LAUNCH_PAGE),
    **dict.fromkeys(_FOR_STACKS, _DRIFT),
    "cloudformation:TagResource": "Service Authorization Reference, AWS CloudFormation",
    "cloudformation:UntagResource": "Service Authorization Reference, AWS CloudFormation",
    "route53:AssociateVPCWithHostedZone": "Service Authorization Reference, Amazon EC2,"
    " CreateVpcEndpoint, dependent actions",
}
_THROUGH: Final[dict[str, dict[str, str | list[str]]]] = {
    "ForAnyValue:StringEquals": {"aws:CalledVia": "cloudformation.amazonaws.com"}
}
"""CloudFormation makes a forward access session for each operation on a resource, with or without
a role of its own (CloudFormation User Guide, "Forward access sessions (FAS) requests and permission
evaluation"); such requests have the key (IAM User Guide, "Forward access sessions"). AWS's own
policies rely on it for roles, buckets and log groups (AWSQuickSetupPatchPolicyDeploymentRolePolicy,
AmazonDataZoneRedshiftGlueProvisioningPolicy).

No page says that the key is there in what Auto Scaling checks for the caller of
CreateAutoScalingGroup, and it is absent where a service acts with a role of its own. So what
belongs to a launch is allowed without it: RunInstances, tags at launch, the image's parameter,
PassRole, and the service-linked role."""


def statements(scope: Scope) -> tuple[Statement, ...]:
    """Our calls, then those that CloudFormation makes for the caller."""
    return (*_ours(scope), *_for_deletion(scope), *_of_cloudformation(scope))


def _ours(scope: Scope) -> tuple[Statement, ...]:
    return (
        Statement(
            "TheStack",
            (
                *("cloudformation:CreateStack", "cloudformation:DeleteStack"),
                *("cloudformation:DescribeStackEvents", "cloudformation:DescribeStackResources"),
                *("cloudformation:DescribeStackResourceDrifts", "cloudformation:DescribeStacks"),
                *("cloudformation:DetectStackDrift", "cloudformation:DetectStackResourceDrift"),
                *("cloudformation:GetTemplate", "cloudformation:TagResource"),
                *("cloudformation:UntagResource", "cloudformation:UpdateStack"),
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
    )


def _for_deletion(scope: Scope) -> tuple[Statement, ...]:
    bucket = scope.s3(scope.bucket)
    repositories = (scope.arn("ecr", "repository/*"),)
    return (
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
            # Of repositories, only those have it that `image build` made for the stack.
            {"StringEquals": {f"aws:ResourceTag/{stack_names.STACK_TAG}": scope.stack}},
            optional=True,
        ),
    )


def _of_cloudformation(scope: Scope) -> tuple[Statement, ...]:
    stack = scope.stack
    names = ("role/{}-*", "instance-profile/{}-*", "policy/{}-*")
    roles = tuple(scope.iam(name.format(stack)) for name in names)
    policy: dict[str, Any] = {**_THROUGH, "ArnLike": {"iam:PolicyARN": roles[2]}}
    group = scope.arn("autoscaling", f"autoScalingGroup:*:autoScalingGroupName/{stack}-*")
    log = scope.arn("logs", f"log-group:{scope.build_log}*")
    project = scope.arn("codebuild", f"project/{scope.project}")
    bucket = scope.s3(scope.bucket)
    return (
        Statement("MakeTheNetwork", _NETWORK, ("*",), "no network and no bastion", _THROUGH),
        *_of_auto_scaling(scope, roles[0]),
        Statement("SeeItMade", _LOOK, ("*",), "CloudFormation cannot wait for it", _THROUGH),
        # Each action concerns resources of its own service only. Together they stay below the size
        # of a managed policy.
        Statement(
            "MakeTheRest",
            (*_GROUP, *_ROLES, *_BUCKET, *_PROJECT, *_LOG),
            (group, *roles, bucket, project, log),
            "no bastion, roles, policies, bucket, build project and log",
            _THROUGH,
        ),
        Statement(
            "DetachOurPolicies",
            _DETACH,
            ("*",),
            "`infra delete` cannot delete a policy that people have",
            policy,
        ),
    )


def _of_auto_scaling(scope: Scope, roles: str) -> tuple[Statement, ...]:
    """What is checked when a group gets its launch template."""
    services = ["codebuild.amazonaws.com", "ec2.amazonaws.com"]
    if scope.partition == "aws-cn":
        # In China, IAM checks one name when a role gets into a profile, and the other one at a
        # launch (github.com/aws/karpenter-provider-aws, pull request 6839).
        services.append("ec2.amazonaws.com.cn")
    where = f"arn:{scope.partition}:{{}}:{scope.region}:*:{{}}"
    return (
        Statement(
            "LaunchTheBastion",
            (*_LAUNCH, *_LINKED),
            (
                where.format("ec2", "*"),
                where.format("ssm", "parameter/aws/service/*"),
                scope.iam("role/aws-service-role/autoscaling.amazonaws.com/*"),
            ),
            "Auto Scaling refuses the launch template",
        ),
        Statement(
            "TagTheBastion",
            _TAG_AT_LAUNCH,
            ("*",),
            "Auto Scaling refuses the launch template, which has tags",
            {"StringEquals": {"ec2:CreateAction": "RunInstances"}},
        ),
        Statement(
            "PassRoles",
            _PASS,
            (roles,),
            "bastion and builds have no role",
            {"StringEquals": {"iam:PassedToService": services}},
        ),
    )
