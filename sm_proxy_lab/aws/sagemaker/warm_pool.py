"""Warm pools: the machines of a job that has ended wait for a job that matches it.

The rules are those of "Train Using SageMaker AI Managed Warm Pools" in AWS's documentation.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

from sm_proxy_lab.aws.http.errors import AwsError

# What a job must have in common with the one before it.
_SAME: Final = (
    "RoleArn",
    "VpcConfig",
    "EnableNetworkIsolation",
    "EnableInterContainerTrafficEncryption",
)
_SAME_RESOURCES: Final = ("InstanceType", "InstanceCount", "InstanceGroups", "VolumeKmsKeyId")
# A failure of the service or of its machines ends the pool.
_OUR_OWN_FAULT: Final = ("AlgorithmError", "ClientError")


@dataclass
class WarmPool:
    """The pool that a job leaves behind; times in seconds of the epoch.

    Attributes:
        since: when the job ended.
        until: when the pool ends, unless another job takes it before.
        reused_by: the job that has taken it.
    """

    since: float
    until: float
    reused_by: str = ""

    @property
    def status(self) -> str:
        """`Available`, `Reused` or `Terminated`."""
        if self.reused_by:
            return "Reused"
        return "Available" if time.time() < self.until else "Terminated"

    def take(self, name: str) -> None:
        """Let a job take the machines."""
        self.until = time.time()
        self.reused_by = name

    def describe(self) -> dict[str, Any]:
        """The member WarmPoolStatus of a description."""
        kept = max(0, round(min(time.time(), self.until) - self.since))
        shown = {"Status": self.status, "ResourceRetainedBillableTimeInSeconds": kept}
        return shown | ({"ReusedByJob": self.reused_by} if self.reused_by else {})


class Job(Protocol):
    """What counts of a training job."""

    request: dict[str, Any]
    ended: float | None
    failure_reason: str | None
    pool: WarmPool | None


AnyJob = TypeVar("AnyJob", bound=Job)


def keep_alive(request: dict[str, Any]) -> int:
    """How long a job's machines are to wait for another job, in seconds."""
    return int(request.get("ResourceConfig", {}).get("KeepAlivePeriodInSeconds", 0))


def describe(job: Job) -> dict[str, Any] | None:
    """The member WarmPoolStatus of a job; None if its request does not ask for a pool."""
    if job.pool:
        return job.pool.describe()
    return {"Status": "InUse"} if keep_alive(job.request) else None


def left_by(job: Job) -> WarmPool | None:
    """The pool that a job leaves when it ends, if its request asks for one."""
    seconds = keep_alive(job.request)
    if not seconds or job.ended is None:
        return None
    if job.failure_reason and not job.failure_reason.startswith(_OUR_OWN_FAULT):
        seconds = 0
    return WarmPool(job.ended, job.ended + seconds)


def find(jobs: Iterable[AnyJob], request: dict[str, Any]) -> AnyJob | None:
    """The job whose pool a new job takes; None if no pool fits."""
    if not keep_alive(request):
        return None
    fitting = (job for job in jobs if job.pool and job.pool.status == "Available")
    return next((job for job in fitting if _key(job.request) == _key(request)), None)


def update(job: Job, seconds: int) -> None:
    """Change how long a pool waits; 0 ends it.

    Raises:
        AwsError: The pool is not available.
    """
    if job.pool is None or job.pool.status != "Available":
        status = (describe(job) or {}).get("Status", "None")
        message = (  # AWS documents the rule, but not the message
            "KeepAlivePeriodInSeconds can be updated only while the warm pool is Available. "
            f"Its status is {status}."
        )
        raise AwsError("ValidationException", message)
    job.request["ResourceConfig"]["KeepAlivePeriodInSeconds"] = seconds
    job.pool.until = job.pool.since + seconds if seconds else time.time()


def _key(request: dict[str, Any]) -> list[Any]:
    resources = request.get("ResourceConfig", {})
    return [
        *(request.get(name) or None for name in _SAME),
        *(resources.get(name) for name in _SAME_RESOURCES),
    ]
