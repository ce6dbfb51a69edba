"""Training jobs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from sm_proxy_lab.job_kinds.request import Input, Instance, JobRequest, Output

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sm_proxy_lab.image_config import ImageConfig


@dataclass(frozen=True)
class TrainingRequest(JobRequest):
    """A CreateTrainingJob request."""

    KIND: ClassVar[str] = "training"
    LOG_GROUP: ClassVar[str] = "/aws/sagemaker/TrainingJobs"
    IMAGE: ClassVar[tuple[str, str]] = ("AlgorithmSpecification", "TrainingImage")
    FOLDERS: ClassVar[tuple[str, ...]] = (
        *("input/config", "input/data", "model", "output/data", "code", "checkpoints"),
    )
    MESSAGE: ClassVar[str] = "output/failure"

    def _default_arguments(self, image: ImageConfig) -> Sequence[str]:
        # `docker run IMAGE train`: the word replaces CMD. Whether SageMaker passes it also where
        # the request has only a ContainerEntrypoint is not documented; the lab does not.
        return [] if image.is_own else ["train"]

    def instances(self) -> list[Instance]:
        """The machines; those of the first instance group come first."""
        cluster = self.request.get("ResourceConfig", {})
        found: list[Instance] = []
        for group in cluster.get("InstanceGroups") or [cluster]:
            name = {"group": group["InstanceGroupName"]} if "InstanceGroupName" in group else {}
            kind = group.get("InstanceType", "ml.m5.xlarge")
            found += [
                Instance(f"algo-{len(found) + 1 + index}", kind, **name)
                for index in range(int(group.get("InstanceCount", 1)))
            ]
        return found

    def vpc(self) -> dict[str, list[str]]:
        """The request's VpcConfig; empty if the job is not in a VPC."""
        return dict(self.request.get("VpcConfig", {}))

    def is_isolated(self) -> bool:
        """Whether the containers can reach each other only."""
        return bool(self.request.get("EnableNetworkIsolation"))

    def inputs(self) -> list[Input]:
        """The input channels, and the checkpoints from which the job resumes."""
        channels = self.request.get("InputDataConfig", [])
        found = [_input(channel, self._mode(channel)) for channel in channels]
        return [*found, *(Input(each.folder, each.uri, optional=True) for each in self.outputs())]

    def outputs(self) -> list[Output]:
        """The checkpoints."""
        checkpoints = self.request.get("CheckpointConfig")
        if not checkpoints:
            return []
        folder = checkpoints.get("LocalPath", "/opt/ml/checkpoints").strip("/")
        return [Output(folder, checkpoints["S3Uri"])]

    def _mode(self, channel: dict[str, Any]) -> str:
        algorithm = self.request.get("AlgorithmSpecification", {})
        return str(channel.get("InputMode") or algorithm.get("TrainingInputMode", "File"))

    def documents(
        self, instance: Instance, instances: list[Instance], device: str
    ) -> dict[str, object]:
        """The files in `/opt/ml/input/config`."""
        groups = {each.group: each.kind for each in instances}
        channels = {
            channel["ChannelName"]: _channel(channel, self._mode(channel))
            for channel in self.request.get("InputDataConfig", [])
            if instance.group in (_groups(channel) or groups)
        }
        documents: dict[str, object] = {
            "resourceconfig": {
                "current_host": instance.host,
                "current_instance_type": instance.kind,
                "current_group_name": instance.group,
                "hosts": [each.host for each in instances],
                "instance_groups": [
                    {
                        "instance_group_name": group,
                        "instance_type": kind,
                        "hosts": [each.host for each in instances if each.group == group],
                    }
                    for group, kind in groups.items()
                ],
                "network_interface_name": device,
            },
            "hyperparameters": self.request.get("HyperParameters", {}),
            "inputdataconfig": channels,
        }
        return {f"input/config/{name}.json": content for name, content in documents.items()}

    def _own_environment(self, instance: Instance, hosts: list[str], device: str) -> dict[str, str]:
        return {
            "TRAINING_JOB_NAME": self.name,
            "TRAINING_JOB_ARN": self.arn,
            "SM_CURRENT_HOST": instance.host,
            "SM_HOSTS": json.dumps(hosts),
            "SM_NETWORK_INTERFACE_NAME": device,
            "SM_MODEL_DIR": "/opt/ml/model",
            "SM_OUTPUT_DATA_DIR": "/opt/ml/output/data",
        }

    def status_change(
        self,
        step: str,
        reason: str | None,
        words: str,  # noqa: ARG002 - they are in the reason
    ) -> tuple[str, Mapping[str, Any]] | None:
        """Every step is a SecondaryStatus."""
        return "set_status", {"job": self.name, "secondary": step, "failure_reason": reason}

    def failure_reason(self, words: str, code: int) -> str:
        """The container's message and its exit code."""
        return f"AlgorithmError: {words}, exit code: {code}"


def _groups(channel: dict[str, Any]) -> tuple[str, ...]:
    source = channel.get("DataSource", {}).get("S3DataSource", {})
    return tuple(source.get("InstanceGroupNames", ()))


def _input(channel: dict[str, Any], mode: str) -> Input:
    source = channel.get("DataSource", {}).get("S3DataSource", {})
    kind = source.get("S3DataType", "S3Prefix")
    # Data in Pipe mode, of augmented manifests and of file systems is not copied.
    copied = mode != "Pipe" and kind in {"S3Prefix", "ManifestFile"}
    return Input(
        f"opt/ml/input/data/{channel['ChannelName']}",
        source.get("S3Uri") if copied else None,
        manifest=kind == "ManifestFile",
        sharded=source.get("S3DataDistributionType") == "ShardedByS3Key",
        read_only=mode == "FastFile",
        groups=_groups(channel),
    )


def _channel(channel: dict[str, Any], mode: str) -> dict[str, str]:
    """A channel in `inputdataconfig.json`."""
    source = channel.get("DataSource", {}).get("S3DataSource", {})
    known = {
        "ContentType": channel.get("ContentType"),
        "TrainingInputMode": mode,
        "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
        "RecordWrapperType": channel.get("RecordWrapperType", "None"),
    }
    return {name: value for name, value in known.items() if value is not None}
