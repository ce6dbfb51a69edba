"""Processing jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from sm_proxy_lab.job_kinds.request import Input, Instance, JobRequest, Output

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sm_proxy_lab.image_config import ImageConfig

# Step of a training job -> status of a processing job. It has no others.
_STATUSES = {
    "Completed": "Completed",
    "Failed": "Failed",
    "Stopping": "Stopping",
    "Stopped": "Stopped",
    "MaxRuntimeExceeded": "Stopped",  # SageMaker's documents do not name the status
}


@dataclass(frozen=True)
class ProcessingRequest(JobRequest):
    """A CreateProcessingJob request."""

    KIND: ClassVar[str] = "processing"
    LOG_GROUP: ClassVar[str] = "/aws/sagemaker/ProcessingJobs"
    IMAGE: ClassVar[tuple[str, str]] = ("AppSpecification", "ImageUri")
    FOLDERS: ClassVar[tuple[str, ...]] = ("config", "processing", "output")
    MESSAGE: ClassVar[str] = "output/message"

    def _default_arguments(self, image: ImageConfig) -> Sequence[str]:
        return image.cmd

    def instances(self) -> list[Instance]:
        """The machines, all of one type."""
        cluster = self.request.get("ProcessingResources", {}).get("ClusterConfig", {})
        kind = cluster.get("InstanceType", "ml.m5.xlarge")
        return [
            Instance(f"algo-{number}", kind)
            for number in range(1, int(cluster.get("InstanceCount", 1)) + 1)
        ]

    def vpc(self) -> dict[str, list[str]]:
        """The request's VpcConfig; empty if the job is not in a VPC."""
        return dict(self.request.get("NetworkConfig", {}).get("VpcConfig", {}))

    def is_isolated(self) -> bool:
        """Whether the containers can reach each other only."""
        return bool(self.request.get("NetworkConfig", {}).get("EnableNetworkIsolation"))

    def inputs(self) -> list[Input]:
        """The inputs from S3, and the folders of the outputs."""
        found = []
        for given in self.request.get("ProcessingInputs", []):
            source = given.get("S3Input", {})
            if "LocalPath" not in source:
                continue
            copied = not given.get("AppManaged") and source.get("S3InputMode", "File") == "File"
            found.append(
                Input(
                    source["LocalPath"].strip("/"),
                    source["S3Uri"] if copied else None,
                    manifest=source.get("S3DataType") == "ManifestFile",
                    sharded=source.get("S3DataDistributionType") == "ShardedByS3Key",
                )
            )
        folders = [place.get("LocalPath", "") for place in self._places()]
        return [*found, *(Input(folder.strip("/"), None) for folder in folders if folder)]

    def outputs(self) -> list[Output]:
        """The outputs whose S3UploadMode is Continuous."""
        return [
            Output(place["LocalPath"].strip("/"), place["S3Uri"])
            for place in self._places()
            if place.get("S3UploadMode") == "Continuous" and place.get("LocalPath")
        ]

    def _places(self) -> list[dict[str, Any]]:
        """Where the outputs are, in the container and in S3."""
        outputs = self.request.get("ProcessingOutputConfig", {}).get("Outputs", [])
        return [output.get("S3Output", {}) for output in outputs]

    def documents(
        self, instance: Instance, instances: list[Instance], device: str
    ) -> dict[str, object]:
        """The files in `/opt/ml/config`."""
        specification = {"ContainerEntrypoint": None, "ContainerArguments": None}
        return {
            "config/processingjobconfig.json": {
                "ProcessingJobArn": self.arn,
                **{name: value for name, value in self.request.items() if name != "Tags"},
                "AppSpecification": specification | self.request.get("AppSpecification", {}),
            },
            "config/resourceconfig.json": {
                "current_host": instance.host,
                "current_instance_type": instance.kind,
                "hosts": [each.host for each in instances],
                "network_interface_name": device,
            },
        }

    def status_change(
        self, step: str, reason: str | None, words: str
    ) -> tuple[str, Mapping[str, Any]] | None:
        """Only some steps are a status; the container's words become the ExitMessage."""
        if step not in _STATUSES:
            return None
        status = {"job": self.name, "status": _STATUSES[step], "failure_reason": reason}
        return "set_batch_status", {"kind": self.KIND, **status, "exit_message": words or None}

    def failure_reason(self, words: str, code: int) -> str:  # noqa: ARG002
        """SageMaker's sentence; the container's words are in ExitMessage."""
        return "AlgorithmError: See job logs for more information"
