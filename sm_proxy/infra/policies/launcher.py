"""What users who start jobs and build images need, besides the policy of a user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sm_proxy.aws import stack_names
from sm_proxy.infra.policies.statement import Scope, Statement

WHO: Final = "people who start jobs and build images, besides the policy of a user"
_KINDS: Final = ("training", "processing", "transform")
OWN: Final[Mapping[str, str]] = {
    "ecr:TagResource": "Service Authorization Reference, Amazon ECR, CreateRepository with tags",
    "iam:PassRole": "Service Authorization Reference, Amazon SageMaker, CreateTrainingJob",
    "sagemaker:AddTags": "Service Authorization Reference, Amazon SageMaker, CreateTrainingJob",
}
"""AWS checks these for other calls: for the role of a job, and for tags."""


def statements(scope: Scope) -> tuple[Statement, ...]:
    """Jobs, then images."""
    return (*_jobs(scope), *_before_jobs(scope), *_images(scope))


def _jobs(scope: Scope) -> tuple[Statement, ...]:
    buckets = tuple(scope.s3(name) for name in scope.data_buckets)
    return (
        Statement(
            "CreateAndStopJobs",
            (
                *("sagemaker:CreateTrainingJob", "sagemaker:CreateProcessingJob"),
                *("sagemaker:StopTrainingJob", "sagemaker:StopProcessingJob"),
                *("sagemaker:StopTransformJob", "sagemaker:ListTags", "sagemaker:AddTags"),
            ),
            tuple(scope.arn("sagemaker", f"{kind}-job/*") for kind in _KINDS),
            "no job can be created, run again or stopped",
        ),
        Statement(
            "WithTheJobsRole",
            ("iam:PassRole",),
            scope.roles_of_jobs,
            "a job cannot get its role",
            {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        ),
        Statement(
            "BringOurFiles",
            ("s3:GetObject", "s3:PutObject"),
            tuple(f"{arn}/{stack_names.CHANNEL}/*" for arn in buckets),
            "our files do not get into the job",
        ),
        Statement(
            "FindBuckets",
            ("s3:ListBucket",),
            buckets,
            "our files are not found in S3",
        ),
        Statement(
            "CopyCheckpoints",
            ("s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"),
            tuple(f"{arn}/*" for arn in buckets),
            "`relaunch` of a job with checkpoints, unless --checkpoints none or same",
            optional=True,
        ),
    )


def _before_jobs(scope: Scope) -> tuple[Statement, ...]:
    return (
        Statement(
            "ReadTheImagesEntryPoint",
            ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"),
            (f"arn:{scope.partition}:ecr:*:*:repository/*",),
            "the image's own command is unknown; --entrypoint names it",
        ),
        Statement(
            "AskFirst",
            (
                *("ec2:DescribeRouteTables", "ec2:DescribeSecurityGroups"),
                *("ec2:DescribeVpcEndpoints", "iam:SimulatePrincipalPolicy"),
                "pricing:GetProducts",
            ),
            ("*",),
            "checks before a job is created, and its price",
            optional=True,
        ),
    )


def _images(scope: Scope) -> tuple[Statement, ...]:
    repositories = (scope.arn("ecr", "repository/*"),)
    return (
        Statement(
            "FindRepositories",
            ("ecr:DescribeRepositories",),
            repositories,
            "`image build` does not find the repository",
        ),
        Statement(
            "LookAtImages",
            ("ecr:DescribeImages", "ecr:ListTagsForResource"),
            repositories,
            "whether an image has changed, and whether a build may push to a repository",
            optional=True,
        ),
        Statement(
            "CreateRepositories",
            ("ecr:CreateRepository", "ecr:TagResource"),
            repositories,
            "`image build` into a repository that does not exist",
            stack_names.has_image_tag("aws:RequestTag"),
            optional=True,
        ),
        Statement(
            "BuildImages",
            (
                *("codebuild:BatchGetBuilds", "codebuild:BatchGetProjects"),
                *("codebuild:StartBuild", "codebuild:StopBuild"),
            ),
            (scope.arn("codebuild", f"project/{scope.project}"),),
            "`image build` cannot build",
        ),
        Statement(
            "UploadTheContext",
            ("s3:GetObject", "s3:PutObject"),
            (scope.contexts,),
            "`image build` cannot bring its files",
        ),
        Statement(
            "FollowTheBuild",
            ("logs:GetLogEvents",),
            (f"{scope.arn('logs', f'log-group:{scope.build_log}')}:*",),
            "`image build` cannot show the build's log",
        ),
    )
