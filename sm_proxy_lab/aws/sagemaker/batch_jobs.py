"""Processing and transform jobs. They have no SecondaryStatus."""

from __future__ import annotations

import copy
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sm_proxy_lab.aws.http.errors import AwsError
from sm_proxy_lab.aws.sagemaker import admission, listing, shapes

if TYPE_CHECKING:
    from collections.abc import Callable

    from sm_proxy_lab.aws.http.call import Call
    from sm_proxy_lab.aws.sagemaker.admission import Admission
    from sm_proxy_lab.aws.sagemaker.tags import Tags

STATUSES = ("InProgress", "Completed", "Failed", "Stopping", "Stopped")
_ENDS = ("Completed", "Failed", "Stopped")


@dataclass
class BatchJob:
    """One processing or transform job; times in seconds of the epoch."""

    kind: str
    arn: str
    request: dict[str, Any]
    status: str = "InProgress"
    created: float = field(default_factory=lambda: round(time.time(), 3))
    modified: float = field(default_factory=lambda: round(time.time(), 3))
    ended: float | None = None
    failure_reason: str | None = None
    exit_message: str | None = None

    @property
    def name(self) -> str:
        """The job's name, spelled as in the request."""
        return str(self.request[f"{self.kind}JobName"])

    def move(self, status: str, reason: str | None = None, exit_message: str | None = None) -> None:
        """Move the job to its next status.

        Raises:
            ValueError: There is no such status, or the job has ended.
        """
        if status not in STATUSES:
            raise ValueError(f"no such status: {status}")
        if self.ended is not None:
            raise ValueError(f"job {self.name} has ended: {self.status}")
        self.exit_message = exit_message
        self.status = status
        self.modified = round(time.time(), 3)
        if status in _ENDS:
            self.ended = self.modified
        if status == "Failed":
            self.failure_reason = reason or "AlgorithmError: , exit code: 1"

    def summary(self) -> dict[str, Any]:
        """The job's entry in the list of its kind."""
        known = {
            f"{self.kind}JobName": self.name,
            f"{self.kind}JobArn": self.arn,
            f"{self.kind}JobStatus": self.status,
            f"{self.kind}EndTime": self.ended,
            "CreationTime": self.created,
            "LastModifiedTime": self.modified,
            "FailureReason": self.failure_reason,
            "ExitMessage": self.exit_message,
        }
        return {name: value for name, value in known.items() if value is not None}

    def describe(self) -> dict[str, Any]:
        """The answer of Describe: the members of request and summary that its model has."""
        operation = f"Describe{self.kind}Job"
        known = {f"{self.kind}StartTime": self.created} | self.summary()
        members = shapes.described(operation)
        asked = shapes.repeated(operation, self.request)
        resources = asked.get("ProcessingResources")
        if resources:
            cluster = shapes.with_selected(resources["ClusterConfig"])
            asked["ProcessingResources"] = resources | {"ClusterConfig": cluster}
        return asked | {name: value for name, value in known.items() if name in members}


class BatchJobs:
    """All jobs of one kind.

    Args:
        kind: `Processing` or `Transform`.
        tags: The tags of all jobs.
        judge: Judges the requests for new jobs.
        emit: Tells the supervisor of an event.
    """

    def __init__(self, kind: str, tags: Tags, judge: Admission, emit: Callable[..., None]) -> None:
        self._kind = kind
        self._tags = tags
        self._judge = judge
        self._emit = emit
        self._lock = threading.RLock()
        self._jobs: dict[tuple[str, str], BatchJob] = {}
        self.operations = {
            f"Create{kind}Job": self._create,
            f"Describe{kind}Job": self._describe,
            f"List{kind}Jobs": self._list,
            f"Stop{kind}Job": self._stop,
        }

    def move(
        self, name: str, status: str, reason: str | None = None, exit_message: str | None = None
    ) -> BatchJob:
        """Move a job to its next status.

        Raises:
            KeyError: There is no such job.
            ValueError: There is no such status, or the job has ended.
        """
        with self._lock:
            for (_, which), job in self._jobs.items():
                if which == name:
                    job.move(status, reason, exit_message)
                    return job
        raise KeyError(name)

    def _job(self, call: Call) -> BatchJob:
        name = call.params[f"{self._kind}JobName"]
        try:
            return self._jobs[call.region, name]
        except KeyError:
            message = f"Could not find requested job with name: {name}"
            raise AwsError("ValidationException", message) from None

    def _create(self, call: Call) -> dict[str, Any]:
        name = call.params[f"{self._kind}JobName"]
        arn = call.arn("sagemaker", f"{self._kind.lower()}-job/{name.lower()}")
        tags = call.params.get("Tags", [])
        self._tags.check(tags)
        if "RoleArn" in call.params:  # a transform job has the role and the network of its model
            self._judge.assume_role(call)
            network = call.params.get("NetworkConfig", {}).get("VpcConfig", {})
            admission.check_network(call, network)
            admission.check_processing(call.params)
        with self._lock:
            if (call.region, name) in self._jobs:
                message = (
                    "Job name must be unique within an AWS account and region, "
                    f"and a job with this name already exists ({arn})"
                )
                raise AwsError("ResourceInUse", message)
            here = [job for (region, _), job in self._jobs.items() if region == call.region]
            self._judge.check_quota(self._kind.lower(), call.params, here)
            self._jobs[call.region, name] = BatchJob(self._kind, arn, copy.deepcopy(call.params))
            self._tags.keep(arn, tags)
        members = {"job": name, "request": call.params, "region": call.region}
        self._emit("job-created", kind=self._kind.lower(), **members)
        return {f"{self._kind}JobArn": arn}

    def _describe(self, call: Call) -> dict[str, Any]:
        with self._lock:
            return copy.deepcopy(self._job(call).describe())

    def _stop(self, call: Call) -> dict[str, Any]:
        with self._lock:
            job = self._job(call)
            if job.status != "InProgress":
                message = (
                    f"The request was rejected because the {self._kind.lower()} job "
                    f"is in status {job.status}."
                )
                raise AwsError("ValidationException", message)
            job.move("Stopping")
        self._emit("job-stop", kind=self._kind.lower(), job=job.name)
        return {}

    def _list(self, call: Call) -> dict[str, Any]:
        with self._lock:
            jobs = [job for (region, _), job in self._jobs.items() if region == call.region]
            return listing.page(jobs, call.params, f"{self._kind}JobSummaries")
