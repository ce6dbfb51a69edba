"""Likely causes of a job's end, found in its log and in the service's messages: one row each.

The first match wins, so specific rows come before general ones. The patterns are from documented
and quoted FailureReasons of DescribeTrainingJob, and from messages of shells, kernels, sshd and
Python.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_LINE_LIMIT: Final = 2000


@dataclass(frozen=True)
class Cause:
    """A likely cause.

    Attributes:
        what: what happened.
        advice: how to fix it.
        pattern: matches text that shows it.
        starts: whether a container of that image starts at all, so that ssh could look into it.
        passes: whether the same job may succeed the next time.
    """

    what: str
    advice: str
    pattern: re.Pattern[str]
    starts: bool = True
    passes: bool = False

    def matches(self, text: str) -> bool:
        """Whether the text shows this cause."""
        return self.pattern.search(text) is not None


def _cause(what: str, advice: str, *signs: str, starts: bool = True, passes: bool = False) -> Cause:
    return Cause(what, advice, re.compile("|".join(signs), re.IGNORECASE), starts, passes)


_DENIED: Final = r"(denied|forbidden|not authorized|no basic auth|does not have permission)"
_ECR: Final = r"(\becr[:. ]|GetDownloadUrlForLayer|BatchGetImage|GetAuthorizationToken)"
_S3: Final = r"(\bs3\b|bucket|GetObject|PutObject|HeadObject|ListObjects)"

_TABLE: Final = (
    _cause(
        "the GPU ran out of memory",
        "Use a smaller batch, or an instance with more GPU memory.",
        r"CUDA (error: )?out of memory",
        r"OutOfMemoryError: CUDA",
        r"CUBLAS_STATUS_ALLOC_FAILED",
    ),
    _cause(
        "it ran out of memory and was killed (exit code 137)",
        "Use an instance with more memory, or load less at a time.",
        r"exit ?code:? 137\b",
        r"return code -9\b",
        r"\bMemoryError\b",
        r"Cannot allocate memory",
        r"instance type with more memory",
        r"out of memory",
        r"OOM-?Killed",
        r"\bKilled$",
    ),
    _cause(
        "the disk is full",
        "Raise VolumeSizeInGB.",
        r"No space left on device",
    ),
    _cause(
        "AWS has no free instance of this type",
        "Try again later, or use another instance type or Availability Zone.",
        r"\bCapacityError",
        r"InsufficientInstanceCapacity",
        r"insufficient capacity",
        r"Unable to provision requested ML compute",
    ),
    _cause(
        "the account's quota for this instance type is used up",
        "Request an increase in Service Quotas, or use another instance type.",
        r"ResourceLimitExceeded",
        r"account-level service limit",
    ),
    _cause(
        "its lifecycle configuration failed",
        "Correct its script: the log group /aws/sagemaker/studio has its output.",
        r"lifecycle ?config\w*.{0,60}(fail|timed ?out)",
    ),
    _cause(
        "no spot instance became free within MaxWaitTimeInSeconds",
        "Raise MaxWaitTimeInSeconds, or use on-demand instances.",
        r"MaxWaitTime",
    ),
    _cause(
        "it ran longer than MaxRuntimeInSeconds allows",
        "Raise MaxRuntimeInSeconds.",
        r"MaxRuntime",
    ),
    _cause(
        "AWS reclaimed its spot instance",
        "Use checkpoints and a higher MaxWaitTimeInSeconds, or use on-demand instances.",
        r"^Interrupted$",
        r"training job interrupted",
        r"spot.{0,40}interrupt",
        passes=True,
    ),
    _cause(
        "its role is not allowed to pull the image from ECR",
        "Allow it ecr:BatchGetImage, and let the repository's policy allow the account.",
        _DENIED + r".{0,200}" + _ECR,
        _ECR + r".{0,200}" + _DENIED,
        r"unable to access the ECR image",
    ),
    _cause(
        "the image cannot be pulled",
        "Check its URI, tag and region, and that its VPC reaches ECR.",
        r"(manifest|repository|docker image|image uri).{0,200}(not found|not exist|unknown)",
        r"no such image",
        r"CannotPullContainer",
        r"(RepositoryNotFound|ImageNotFound)",
        r"(failed|unable) to pull",
    ),
    _cause(
        "the program was built for another processor, or is a script without a `#!` line",
        "Build the image for the instance's processor: docker build --platform linux/amd64.",
        r"exec format error",
        starts=False,
    ),
    _cause(
        "the entrypoint, or what it starts, is not in the image",
        "Check ENTRYPOINT, ContainerEntrypoint and the path; a script may have CRLF line ends.",
        r"executable file not found",
        r"exec:.{0,200}no such file or directory",
        r"can't open file",
        r"cannot execute: required file not found",
        r"exit ?code:? 127\b",
    ),
    _cause(
        "the entrypoint is not executable",
        "Make it executable in the image: chmod +x.",
        r"exec:.{0,200}permission denied",
        r"\b(ba|da)?sh: .{0,200}permission denied",
        r"exit ?code:? 126\b",
    ),
    _cause(
        "the SSH server could not run",
        "Check sshd's messages in the log; the image needs openssh-server.",
        r"\bsshd: no hostkeys available",
        r"\bsshd: .{0,200}(Cannot bind|Bad configuration)",
        r"Missing privilege separation directory",
        r"no sshd in this image",
    ),
    _cause(
        "a Python module is missing from the image",
        "Add it to requirements.txt or to the image.",
        r"ModuleNotFoundError",
        r"ImportError: ",
        r"No module named",
    ),
    _cause(
        "its role is not allowed to read or write the data in S3",
        "Allow it s3:GetObject, s3:PutObject and s3:ListBucket there, and the KMS key.",
        _S3 + r".{0,200}(access ?denied|forbidden|not authorized|\b403\b)",
        r"(access ?denied|forbidden|not authorized).{0,200}" + _S3,
    ),
    _cause(
        "the input data does not exist at the given place",
        "Check the S3 URIs and the bucket's region.",
        r"NoSuchKey",
        r"NoSuchBucket",
        r"No S3 objects found",
        r"data download failed",
    ),
    _cause(
        "the nodes could not reach each other (NCCL)",
        "Let the members of the security group reach each other on all ports.",
        r"NCCL (WARN|error)",
        r"nccl(System|Internal|Remote)Error",
    ),
    _cause(
        "SageMaker itself failed",
        "Try again; if it persists, ask AWS support.",
        r"InternalServerError",
        passes=True,
    ),
)


def find_likely(texts: Iterable[str]) -> Cause | None:
    """The first cause in the table that matches one of the texts."""
    bounded = [text[:_LINE_LIMIT].strip() for text in texts]
    return next((cause for cause in _TABLE if any(map(cause.matches, bounded))), None)
