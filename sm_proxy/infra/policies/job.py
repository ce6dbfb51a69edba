"""What the role of a job needs, with and without sm-proxy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sm_proxy.aws.job_role import FOR_REMOTE_DEBUG, IN_A_VPC
from sm_proxy.infra.policies.statement import Scope, Statement

WHO: Final = "the role of jobs"
_ROLES: Final = "Amazon SageMaker AI Developer Guide, SageMaker AI roles, CreateTrainingJob API"
_REMOTE_DEBUG: Final = (
    "Amazon SageMaker AI Developer Guide, Access a training container through AWS Systems Manager"
    " for remote debugging"
)
_LOGS: Final = (
    "logs:CreateLogGroup",
    "logs:CreateLogStream",
    "logs:DescribeLogStreams",
    "logs:PutLogEvents",
)
_IMAGE: Final = (
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:GetDownloadUrlForLayer",
)
_OBJECTS: Final = ("s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject")
_LOGIN: Final = ("ecr:GetAuthorizationToken",)
_METRICS: Final = ("cloudwatch:PutMetricData",)
_BUCKETS: Final = ("s3:ListBucket",)
OWN: Final[Mapping[str, str]] = {
    **dict.fromkeys((*_LOGS, *_IMAGE, *_LOGIN, *_METRICS, *_OBJECTS, *_BUCKETS), _ROLES),
    **dict.fromkeys(IN_A_VPC, f"{_ROLES}, if you specify a private VPC"),
    **dict.fromkeys(FOR_REMOTE_DEBUG, _REMOTE_DEBUG),
}


def statements(scope: Scope) -> tuple[Statement, ...]:
    """Data in named buckets, the log, the image, the network; RemoteDebug is optional."""
    buckets = tuple(scope.s3(name) for name in scope.data_buckets)
    objects = tuple(f"{arn}/*" for arn in buckets)
    log = scope.arn("logs", "log-group:/aws/sagemaker/*")
    images = f"arn:{scope.partition}:ecr:*:*:repository/*"
    metrics = {"StringLike": {"cloudwatch:namespace": "/aws/sagemaker/*"}}
    return (
        Statement("ReadAndWriteData", _OBJECTS, objects, "the job has no data and no results"),
        Statement("ListData", _BUCKETS, buckets, "the job cannot list its data"),
        Statement("WriteTheLog", _LOGS, (log,), "the job has no log, so ssh finds no container"),
        Statement("WriteMetrics", _METRICS, ("*",), "the job has no metrics", metrics),
        Statement("LogInToRegistries", _LOGIN, ("*",), "no image can be pulled from ECR"),
        Statement("PullTheImage", _IMAGE, (images,), "no image can be pulled from ECR"),
        Statement("JoinTheVpc", IN_A_VPC, ("*",), "the job cannot run in the VPC"),
        Statement(
            "RemoteDebug",
            FOR_REMOTE_DEBUG,
            ("*",),
            "the route `remote-debug`",
            optional=True,
        ),
    )
