"""SageMaker's jobs and clusters. Moto answers for endpoints and everything else."""

from __future__ import annotations

import copy
import threading
from typing import TYPE_CHECKING, Any

from sm_proxy_lab.aws.http.errors import AwsError
from sm_proxy_lab.aws.sagemaker import admission, listing, warm_pool
from sm_proxy_lab.aws.sagemaker.batch_jobs import BatchJobs
from sm_proxy_lab.aws.sagemaker.clusters import Clusters
from sm_proxy_lab.aws.sagemaker.tags import Tags
from sm_proxy_lab.aws.sagemaker.training_job import Job

if TYPE_CHECKING:
    from collections.abc import Callable

    from sm_proxy_lab.aws.http.call import Call
    from sm_proxy_lab.aws.sagemaker.admission import Admission

_NOT_FOUND = "Requested resource not found."


class SageMaker:
    """The jobs of all regions."""

    def __init__(self, emit: Callable[..., None], judge: Admission) -> None:
        self._emit = emit
        self._judge = judge
        self.tags = Tags()
        self._lock = threading.RLock()
        self._jobs: dict[tuple[str, str], Job] = {}
        self.operations: dict[str, Callable[[Call], dict[str, Any] | None]] = {
            "CreateTrainingJob": self._create,
            "DescribeTrainingJob": self._describe,
            "ListTrainingJobs": self._list,
            "StopTrainingJob": self._stop,
            "UpdateTrainingJob": self._update,
        }
        self.batch = {
            kind: BatchJobs(kind, self.tags, judge, emit) for kind in ("Processing", "Transform")
        }
        self.clusters = Clusters(self.tags, emit)
        self.operations |= self.tags.operations
        self.operations |= self.clusters.operations
        for jobs in self.batch.values():
            self.operations |= jobs.operations

    def find(self, name: str, region: str | None = None) -> Job:
        """Return the training job of that name; without `region`, look in all regions.

        Raises:
            KeyError: There is no such job.
        """
        for (where, which), job in list(self._jobs.items()):
            if which == name and region in {None, where}:
                return job
        raise KeyError(name)

    def region_of(self, name: str) -> str | None:
        """The region of the training job of that name, or None."""
        return next((region for region, known in list(self._jobs) if known == name), None)

    def move(self, name: str, secondary: str, message: str | None, reason: str | None) -> Job:
        """Move a job to its next status (see `Job.move`)."""
        with self._lock:
            job = self.find(name)
            job.move(secondary, message=message, reason=reason)
            return job

    def jobs(self) -> list[Job]:
        """All training jobs, oldest first."""
        return list(self._jobs.values())

    def _job(self, call: Call) -> Job:
        try:
            return self._jobs[call.region, call.params["TrainingJobName"]]
        except KeyError:
            raise AwsError("ValidationException", _NOT_FOUND) from None

    def _create(self, call: Call) -> dict[str, Any]:
        name = call.params["TrainingJobName"]
        # SageMaker writes the name in lower case in the ARN.
        arn = call.arn("sagemaker", f"training-job/{name.lower()}")
        tags = call.params.get("Tags", [])
        self.tags.check(tags)
        self._judge.assume_role(call)
        admission.check_training(call.params)
        admission.check_network(call, call.params.get("VpcConfig", {}))
        with self._lock:
            if (call.region, name) in self._jobs:
                message = (
                    "Training job names must be unique within an AWS account and region, "
                    f"and a training job with this name already exists ({arn})"
                )
                raise AwsError("ResourceInUse", message)
            here = [job for (region, _), job in self._jobs.items() if region == call.region]
            self._judge.check_quota("training", call.params, here)
            before = warm_pool.find(here, call.params)
            if before and before.pool:
                before.pool.take(name)
            job = Job(arn, copy.deepcopy(call.params), in_pool=before is not None)
            job.request.setdefault("StoppingCondition", {"MaxRuntimeInSeconds": 86400})
            self._jobs[call.region, name] = job
            self.tags.keep(arn, tags)
        members = {"job": name, "request": call.params, "region": call.region}
        self._emit("job-created", kind="training", **members)
        return {"TrainingJobArn": arn}

    def _describe(self, call: Call) -> dict[str, Any]:
        with self._lock:
            return copy.deepcopy(self._job(call).describe())

    def _stop(self, call: Call) -> dict[str, Any]:
        with self._lock:
            job = self._job(call)
            if job.status != "InProgress":
                message = (
                    f"The request was rejected because the training job is in status {job.status}."
                )
                raise AwsError("ValidationException", message)
            job.move("Stopping")
        self._emit("job-stop", kind="training", job=job.name)
        return {}

    def _update(self, call: Call) -> dict[str, Any]:
        with self._lock:
            job = self._job(call)
            if "ResourceConfig" in call.params:
                resources = call.params["ResourceConfig"]
                warm_pool.update(job, resources["KeepAlivePeriodInSeconds"])
            change = call.params.get("RemoteDebugConfig")
            if change is not None and job.secondary not in {"Downloading", "Training"}:
                message = (  # AWS documents the rule, but not the message
                    "RemoteDebugConfig can be updated only while the SecondaryStatus is "
                    f"Downloading or Training. The SecondaryStatus is {job.secondary}."
                )
                raise AwsError("ValidationException", message)
            if change is not None:
                request = {**job.request, "RemoteDebugConfig": change}
                admission.check_remote_debug(request)
                on = bool(change.get("EnableRemoteDebug"))
                self._emit("job-remote-debug", kind="training", job=job.name, on=on)
            for name in ("RemoteDebugConfig", "ProfilerConfig", "ProfilerRuleConfigurations"):
                if name in call.params:
                    job.request[name] = copy.deepcopy(call.params[name])
            return {"TrainingJobArn": job.arn}

    def _list(self, call: Call) -> dict[str, Any]:
        with self._lock:
            jobs = [job for (region, _), job in self._jobs.items() if region == call.region]
            return listing.page(jobs, call.params, "TrainingJobSummaries")
