"""What builds images: a CodeBuild project, its role and log, and the bucket for its contexts."""

from __future__ import annotations

from typing import Any, Final

from sm_proxy.aws import stack_names
from sm_proxy.infra import policies
from sm_proxy.infra.parts import roles
from sm_proxy.infra.parts.resource import Resources, attribute, ref, resource, sub, substituted
from sm_proxy.infra.plan import Plan

_IMAGE: Final = "aws/codebuild/standard:7.0"
"""CodeBuild's Ubuntu with docker and the AWS CLI 2; a build may name another one."""
_SCOPE: Final = policies.Scope.of_template()
_KEPT_DAYS: Final = 30
_BUILD_MIN: Final = 120
_QUEUE_MIN: Final = 60
_NO_BUILD: Final = """\
version: 0.2
phases:
  build:
    commands:
      - echo "Start builds with sm-proxy image build"; exit 1
"""
"""`image build` gives each build its own."""


def resources(_plan: Plan) -> Resources:
    """Project, role, log, bucket."""
    document = substituted(policies.document("build", _SCOPE))
    return {
        "BuildLog": resource(
            "Logs::LogGroup",
            {
                "LogGroupName": sub(_SCOPE.build_log),
                "RetentionInDays": _KEPT_DAYS,
            },
            DeletionPolicy="Delete",
            UpdateReplacePolicy="Delete",
        ),
        "BuildRole": roles.role({"Service": "codebuild.amazonaws.com"}, document),
        "BuildProject": resource("CodeBuild::Project", _project()),
        **_bucket(),
    }


def _project() -> dict[str, Any]:
    return {
        "Name": sub(_SCOPE.project),
        "Description": "sm-proxy image build: builds images and pushes them to ECR",
        "ServiceRole": attribute("Arn", "BuildRole"),
        "Source": {
            "Type": "S3",
            "Location": sub(f"${{Bucket}}/{stack_names.CONTEXTS}none.zip"),
            "BuildSpec": _NO_BUILD,
        },
        "Artifacts": {"Type": "NO_ARTIFACTS"},
        "Environment": {
            "Type": "LINUX_CONTAINER",
            "ComputeType": "BUILD_GENERAL1_MEDIUM",
            "Image": _IMAGE,
            "PrivilegedMode": True,  # docker runs inside
            "EnvironmentVariables": [{"Name": "SM_PROXY_BUCKET", "Value": ref("Bucket")}],
        },
        "LogsConfig": {"CloudWatchLogs": {"Status": "ENABLED", "GroupName": ref("BuildLog")}},
        "TimeoutInMinutes": _BUILD_MIN,
        "QueuedTimeoutInMinutes": _QUEUE_MIN,
    }


def _bucket() -> Resources:
    blocked = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
    return {
        "Bucket": resource(
            "S3::Bucket",
            {
                "BucketName": sub(_SCOPE.bucket),
                "BucketEncryption": {
                    "ServerSideEncryptionConfiguration": [
                        {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
                    ]
                },
                "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
                "PublicAccessBlockConfiguration": dict.fromkeys(blocked, True),
                "LifecycleConfiguration": {
                    "Rules": [
                        {
                            "Id": "contexts",
                            "Status": "Enabled",
                            "Prefix": stack_names.CONTEXTS,
                            "ExpirationInDays": _KEPT_DAYS,
                        },
                        {
                            "Id": "uploads",
                            "Status": "Enabled",
                            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
                        },
                    ]
                },
            },
            DeletionPolicy="Delete",
            UpdateReplacePolicy="Delete",
        ),
        "BucketPolicy": _tls_only(),
    }


def _tls_only() -> dict[str, Any]:
    return resource(
        "S3::BucketPolicy",
        {
            "Bucket": ref("Bucket"),
            "PolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Sid": "TlsOnly",
                        "Effect": "Deny",
                        "Principal": "*",
                        "Action": "s3:*",
                        "Resource": [attribute("Arn", "Bucket"), sub("${Bucket.Arn}/*")],
                        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                    }
                ],
            },
        },
    )
