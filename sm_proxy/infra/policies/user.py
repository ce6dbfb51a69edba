"""What users of ssh need on the laptop, or inside the VPC."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sm_proxy.aws import stack_names
from sm_proxy.infra.policies import session_kinds
from sm_proxy.infra.policies.statement import Scope, Statement

WHO: Final = "people who use ssh"
OTHER_KINDS: Final = (
    *("sagemaker:ListTrainingJobs", "sagemaker:ListProcessingJobs"),
    *("sagemaker:ListTransformJobs", "sagemaker:ListEndpoints"),
    *("sagemaker:DescribeProcessingJob", "sagemaker:DescribeTransformJob"),
    *("sagemaker:DescribeEndpoint", "sagemaker:DescribeEndpointConfig"),
    "sagemaker:DescribeModel",
)
"""For jobs that do not train, and for lists."""
OWN: Final[Mapping[str, str]] = {
    "ec2-instance-connect:OpenTunnel": "Amazon EC2 User Guide, Grant permissions to use"
    " EC2 Instance Connect Endpoint",
    "logs:Unmask": "Amazon CloudWatch Logs User Guide, View unmasked data",
    "ssmmessages:OpenDataChannel": "AWS Systems Manager User Guide, Sample IAM policies for Session"
    " Manager, Quickstart end user policies",
}
"""Websockets ask for the first and the last, and GetLogEvents with `unmask` for the second."""
_BASTION: Final[dict[str, Any]] = {"StringEquals": {"ssm:resourceTag/sm-proxy:role": "bastion"}}
_TARGET: Final[dict[str, Any]] = {
    "StringLike": {"ssm:resourceTag/aws:ssmmessages:target-id": "sagemaker-training-job:*"}
}
_START: Final = ("ssm:StartSession",)
_OWN: Final[dict[str, Any]] = {
    "StringEquals": {"ssm:resourceTag/aws:ssmmessages:session-id": "${aws:userid}"}
}
"""Sessions that the caller has started (Systems Manager User Guide, "Allow a user to end only
sessions they started"). The id of a session begins with the name of a role's session, not with
`aws:userid`, so an ARN cannot say that."""


def statements(scope: Scope) -> tuple[Statement, ...]:
    """The route through the bastion, and as options the other routes and more comfort."""
    routes = (*_remote_debug(scope), *_bastion_ssh(scope), *_instance_connect(scope))
    return (
        *_required(scope),
        *_sessions(scope),
        *_more(scope),
        *_copies(scope),
        _direct(),
        *routes,
        *session_kinds.statements(scope),
    )


def _required(scope: Scope) -> tuple[Statement, ...]:
    return (
        Statement(
            "FindTheContainer",
            ("sagemaker:DescribeTrainingJob",),
            (scope.arn("sagemaker", "training-job/*"),),
            "no job is found",
        ),
        Statement(
            "ReadItsLog",
            ("logs:DescribeLogStreams", "logs:GetLogEvents"),
            (scope.arn("logs", "log-group:/aws/sagemaker/*"),),
            "the container's address and host key are in the job's log",
        ),
        Statement(
            "CheckItsAddress",
            ("ec2:DescribeSubnets",),
            ("*",),
            "an address is only dialled if it is in the job's subnets",
        ),
        Statement(
            "TunnelThroughTheBastion",
            _START,
            (scope.arn("ec2", "instance/*"),),
            "no session with the bastion",
            _BASTION,
        ),
        Statement(
            "WithThisDocumentOnly",
            _START,
            (_document(scope, "AWS-StartPortForwardingSessionToRemoteHost"),),
            "no session with the bastion",
        ),
    )


def _sessions(scope: Scope) -> tuple[Statement, ...]:
    return (
        # The guide names the caller's own sessions by `${aws:userid}-*`, which does not fit a
        # role's; AWS's AmazonEKSLocalOutpostServiceRolePolicy has all sessions, as here. A channel
        # also needs the token that StartSession returns.
        Statement(
            "OpenTheChannel",
            ("ssmmessages:OpenDataChannel",),
            (scope.arn("ssm", "session/*"),),
            "AWS may refuse the data channel of a session",
        ),
        Statement(
            "OwnSessions",
            ("ssm:ResumeSession", "ssm:TerminateSession"),
            (scope.arn("ssm", "session/*"),),
            "a session does not survive a lost connection, and stays open after ssh",
            _OWN,
        ),
    )


def _more(scope: Scope) -> tuple[Statement, ...]:
    return (
        Statement(
            "FindTheBastion",
            ("ec2:DescribeInstances", "ssm:DescribeInstanceInformation"),
            ("*",),
            "finding the bastion without --bastion",
            optional=True,
        ),
        Statement(
            "ShortNamesListsAndOtherKinds",
            OTHER_KINDS,
            ("*",),
            "short names, `list`, and jobs that do not train",
            optional=True,
        ),
        Statement(
            "ReadMaskedLogs",
            ("logs:Unmask",),
            (scope.arn("logs", "log-group:/aws/sagemaker/*"),),
            "logs in which a data protection policy masks addresses",
            optional=True,
        ),
        Statement(
            "Diagnose",
            (
                *("ec2:DescribeNetworkAcls", "ec2:DescribeRouteTables"),
                *("ec2:DescribeSecurityGroups", "ec2:DescribeVpcEndpoints"),
            ),
            ("*",),
            "some checks of `doctor`, which skips them otherwise",
            optional=True,
        ),
        Statement(
            "SessionsUnderAKey",
            ("kms:GenerateDataKey",),
            (scope.arn("kms", "key/*"),),
            "sessions that the account encrypts with a KMS key",
            optional=True,
        ),
        Statement(
            "KeysInS3",
            ("s3:PutObject", "s3:DeleteObject"),
            (scope.s3("*/sm-proxy-*.pub"),),
            "`keys push`, which puts your public key into a folder that containers read",
            optional=True,
        ),
    )


def _copies(scope: Scope) -> tuple[Statement, ...]:
    buckets = tuple(scope.s3(name) for name in scope.data_buckets)
    return (
        Statement(
            "ReadCheckpoints",
            ("s3:GetObject",),
            tuple(f"{arn}/*" for arn in buckets),
            "`cp` of checkpoints from S3, which is faster than ssh",
            optional=True,
        ),
        Statement(
            "ListCheckpoints",
            ("s3:ListBucket",),
            buckets,
            "`cp` of many checkpoints from S3, and of those of a job that has ended",
            optional=True,
        ),
        Statement(
            "HandFilesOver",
            ("s3:AbortMultipartUpload", "s3:DeleteObject", "s3:PutObject"),
            tuple(
                f"{arn}/{prefix}{stack_names.COPIES}*" for arn in buckets for prefix in ("", "*/")
            ),
            "`cp --via s3` of other files, in one of these buckets",
            optional=True,
        ),
    )


def _direct() -> Statement:
    return Statement(
        "ProveThisMachinesVpc",
        (
            *("ec2:DescribeNetworkInterfaces", "sagemaker:DescribeDomain"),
            "sagemaker:DescribeNotebookInstance",
        ),
        ("*",),
        "the route `direct` from a container, Studio or a notebook instance",
        optional=True,
    )


def _remote_debug(scope: Scope) -> tuple[Statement, ...]:
    return (
        Statement(
            "RemoteDebugTarget",
            _START,
            ("*",),
            "the route `remote-debug`",
            _TARGET,
            optional=True,
        ),
        Statement(
            "RemoteDebugDocuments",
            _START,
            (
                _document(scope, "AWS-StartPortForwardingSession"),
                scope.arn("ssm", "document/SSM-SessionManagerRunShell"),
            ),
            "the route `remote-debug`; `bootstrap` uses the second document",
            optional=True,
        ),
        Statement(
            "SwitchRemoteDebugOn",
            (
                "iam:SimulatePrincipalPolicy",
                *("sagemaker:UpdateTrainingJob", "ssm:GetConnectionStatus"),
            ),
            ("*",),
            "`enable-remote-debug`, which also asks what the job's role lacks",
            optional=True,
        ),
    )


def _bastion_ssh(scope: Scope) -> tuple[Statement, ...]:
    return (
        Statement(
            "BastionSshdDocument",
            _START,
            (_document(scope, "AWS-StartSSHSession"),),
            "the routes `bastion-ssh` and `hyperpod`",
            optional=True,
        ),
        Statement(
            "BastionSshdLogin",
            ("ec2-instance-connect:SendSSHPublicKey",),
            (scope.arn("ec2", "instance/*"),),
            "the route `bastion-ssh`",
            {"StringEquals": {"ec2:osuser": "ec2-user"}},
            optional=True,
        ),
        Statement(
            "BastionSshdHostKey",
            ("ec2:GetConsoleOutput",),
            (scope.arn("ec2", "instance/*"),),
            "comparing the bastion's host key with the console's on first use",
            optional=True,
        ),
    )


def _instance_connect(scope: Scope) -> tuple[Statement, ...]:
    return (
        Statement(
            "InstanceConnectEndpoint",
            ("ec2-instance-connect:OpenTunnel",),
            (scope.arn("ec2", "instance-connect-endpoint/*"),),
            "the route `instance-connect`",
            optional=True,
        ),
        Statement(
            "FindTheEndpoint",
            ("ec2:DescribeInstanceConnectEndpoints",),
            ("*",),
            "the route `instance-connect`",
            optional=True,
        ),
    )


def _document(scope: Scope, name: str) -> str:
    """The ARN of a document that belongs to AWS."""
    return f"arn:{scope.partition}:ssm:{scope.region}::document/{name}"
