"""One training job, as DescribeTrainingJob shows it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from sm_proxy_lab.aws.sagemaker import shapes, warm_pool
from sm_proxy_lab.aws.sagemaker.statuses import ENDS, STATUSES

_BILLED = {"Downloading", "Training"}
# The service shows these switches even if the request leaves them out.
_SWITCHES = (
    "EnableNetworkIsolation",
    "EnableInterContainerTrafficEncryption",
    "EnableManagedSpotTraining",
)


@dataclass
class Job:
    """A training job: its request and its history; times in seconds of the epoch.

    Attributes:
        pool: the warm pool that it has left.
        in_pool: whether it runs in the pool of a job before it, and so has waited for no capacity.
    """

    arn: str
    request: dict[str, Any]
    created: float = field(default_factory=lambda: round(time.time(), 3))
    transitions: list[dict[str, Any]] = field(default_factory=list)
    failure_reason: str | None = None
    started: float | None = None
    ended: float | None = None
    modified: float = 0.0
    pool: warm_pool.WarmPool | None = None
    in_pool: bool = False

    def __post_init__(self) -> None:
        """Begin as every job does: InProgress and Starting."""
        self.move("Starting")

    @property
    def name(self) -> str:
        """The job's name, spelled as in the request."""
        return str(self.request["TrainingJobName"])

    @property
    def nodes(self) -> int:
        """How many containers the job has."""
        cluster = self.request.get("ResourceConfig", {})
        groups = cluster.get("InstanceGroups") or [cluster]
        return sum(int(group.get("InstanceCount", 1)) for group in groups)

    @property
    def secondary(self) -> str:
        """The SecondaryStatus."""
        return str(self.transitions[-1]["Status"])

    @property
    def status(self) -> str:
        """The TrainingJobStatus; a job that was stopped is Stopping while it still uploads."""
        status = STATUSES[self.secondary][0]
        stopped = any(step["Status"] == "Stopping" for step in self.transitions)
        return "Stopping" if stopped and status == "InProgress" else status

    def move(
        self, secondary: str, *, message: str | None = None, reason: str | None = None
    ) -> None:
        """Move the job to its next SecondaryStatus.

        If it is the present status, only its StatusMessage changes. AWS does the same when
        "Launching requested ML instances" replaces "Starting the training job".

        Raises:
            ValueError: There is no such status, or the job has ended.
        """
        if secondary not in STATUSES:
            raise ValueError(f"no such SecondaryStatus: {secondary}")
        if self.ended is not None:
            raise ValueError(f"job {self.name} has ended: {self.secondary}")
        if secondary == "Pending" and self.in_pool:
            return
        now = round(time.time(), 3)
        self.modified = now
        if self.transitions and self.secondary == secondary:
            self.transitions[-1]["StatusMessage"] = message or STATUSES[secondary][1]
            return
        if self.transitions:
            self.transitions[-1]["EndTime"] = now
        message = message or STATUSES[secondary][1]
        self.transitions.append({"Status": secondary, "StartTime": now, "StatusMessage": message})
        if secondary in _BILLED and self.started is None:
            self.started = now
        if self.status in ENDS:
            self._end(now, reason)

    def _end(self, now: float, reason: str | None) -> None:
        self.ended = now
        self.transitions[-1]["EndTime"] = now
        if self.secondary == "Failed":
            self.failure_reason = (reason or "AlgorithmError: , exit code: 1")[:1024]
        self.pool = warm_pool.left_by(self)

    def describe(self) -> dict[str, Any]:
        """The answer of DescribeTrainingJob."""
        known = {
            "TrainingJobName": self.name,
            "TrainingJobArn": self.arn,
            "ModelArtifacts": self._artifacts(),
            "TrainingJobStatus": self.status,
            "SecondaryStatus": self.secondary,
            "SecondaryStatusTransitions": self.transitions,
            "CreationTime": self.created,
            "LastModifiedTime": self.modified,
            "FailureReason": self.failure_reason,
            "TrainingStartTime": self.started,
            "TrainingEndTime": self.ended,
            "WarmPoolStatus": warm_pool.describe(self),
            **self._seconds(),
        }
        switches = {name: bool(self.request.get(name, False)) for name in _SWITCHES}
        asked = shapes.repeated("DescribeTrainingJob", self.request)
        if "ResourceConfig" in asked:
            asked["ResourceConfig"] = shapes.with_selected(asked["ResourceConfig"])
        known = {**asked, **switches, **self._rules(), **known}
        return {name: value for name, value in known.items() if value is not None}

    def summary(self) -> dict[str, Any]:
        """The job's entry in ListTrainingJobs."""
        known = {
            "TrainingJobName": self.name,
            "TrainingJobArn": self.arn,
            "CreationTime": self.created,
            "TrainingEndTime": self.ended,
            "LastModifiedTime": self.modified,
            "TrainingJobStatus": self.status,
            "SecondaryStatus": self.secondary,
            "WarmPoolStatus": warm_pool.describe(self),
        }
        return {name: value for name, value in known.items() if value is not None}

    def _rules(self) -> dict[str, Any]:
        """The states of the rules that Debugger and Profiler evaluate in jobs of their own."""
        return {
            f"{kind}RuleEvaluationStatuses": [
                {
                    "RuleConfigurationName": rule["RuleConfigurationName"],
                    "RuleEvaluationJobArn": f"{self.arn}-{number}".replace(
                        "training", "processing"
                    ),
                    "RuleEvaluationStatus": "NoIssuesFound" if self.ended else "InProgress",
                    "LastModifiedTime": self.modified,
                }
                for number, rule in enumerate(self.request[f"{kind}RuleConfigurations"], 1)
            ]
            for kind in ("Debug", "Profiler")
            if self.request.get(f"{kind}RuleConfigurations")
        }

    def _artifacts(self) -> dict[str, str]:
        # From the beginning: the model requires it, and SDK 3 reads it right after the job is made.
        output = str(self.request["OutputDataConfig"].get("S3OutputPath", "")).rstrip("/")
        return {"S3ModelArtifacts": f"{output}/{self.name}/output/model.tar.gz"}

    def _seconds(self) -> dict[str, int]:
        if self.started is None or self.ended is None:
            return {}
        spent = max(1, round(self.ended - self.started))
        return {"TrainingTimeInSeconds": spent, "BillableTimeInSeconds": spent}
