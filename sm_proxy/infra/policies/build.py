"""What the CodeBuild project may do: read one context, log, pull base images, push the image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sm_proxy.aws import stack_names
from sm_proxy.infra.policies.statement import Scope, Statement

WHO: Final = "the role of the CodeBuild project"
_CODEBUILD: Final = "AWS CodeBuild User Guide, Create a CodeBuild service role"
_ECR: Final = "Amazon ECR User Guide, IAM permissions for pushing an image"
_LOGS: Final = ("logs:CreateLogStream", "logs:PutLogEvents")
_CONTEXT: Final = ("s3:GetObject", "s3:GetObjectVersion")
_BUCKET: Final = ("s3:GetBucketLocation",)
_LOGIN: Final = ("ecr:GetAuthorizationToken",)
_PULL: Final = (
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:GetDownloadUrlForLayer",
)
_PUSH: Final = (
    "ecr:CompleteLayerUpload",
    "ecr:InitiateLayerUpload",
    "ecr:PutImage",
    "ecr:UploadLayerPart",
)
OWN: Final[Mapping[str, str]] = {
    **dict.fromkeys((*_LOGS, *_CONTEXT, *_BUCKET), _CODEBUILD),
    **dict.fromkeys((*_LOGIN, *_PULL, *_PUSH), _ECR),
}


def statements(scope: Scope) -> tuple[Statement, ...]:
    """The stack makes the log group, so the role need not."""
    own = (scope.arn("ecr", "repository/*"),)
    tagged = stack_names.has_image_tag("aws:ResourceTag")
    # Base images may be in other accounts, such as AWS's deep learning containers: their
    # repositories decide who may pull.
    any_image = (f"arn:{scope.partition}:ecr:*:*:repository/*",)
    log = (f"{scope.arn('logs', f'log-group:{scope.build_log}')}:*",)
    bucket = scope.s3(scope.bucket)
    return (
        Statement("WriteTheLog", _LOGS, log, "the build has no log"),
        Statement("ReadTheContext", _CONTEXT, (scope.contexts,), "there is nothing to build"),
        Statement("FindTheBucket", _BUCKET, (bucket,), "CodeBuild does not find the context"),
        Statement("LogInToRegistries", _LOGIN, ("*",), "no image can be pulled or pushed"),
        Statement("PullBaseImages", _PULL, any_image, "FROM an image in ECR fails"),
        Statement("PushTheImage", _PUSH, own, "the image cannot be pushed", tagged),
    )
