"""CreateTrainingJob. Limits are those of its service model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from sm_proxy.errors import SmProxyError
from sm_proxy.launch import channel
from sm_proxy.launch.changes import Path, value_at

NAME: Final = "TrainingJobName"
KIND: Final = "training"
VPC: Final[Path] = ("VpcConfig",)
ISOLATION: Final[Path] = ("EnableNetworkIsolation",)
REMOTE_DEBUG: Final[Path | None] = ("RemoteDebugConfig", "EnableRemoteDebug")
CONTAINER: Final[Path] = ("AlgorithmSpecification",)
IMAGE: Final[Path] = ("AlgorithmSpecification", "TrainingImage")
INPUTS: Final[Path] = ("InputDataConfig",)
INPUTS_LIMIT: Final = 20
VARIABLE_LIMIT: Final = 512
FOLDER: Final = channel.TRAINING_PATH
RESOURCES: Final[Path] = ("ResourceConfig",)
USAGE: Final = "Train"
_GROUP_NAMES: Final[Path] = ("DataSource", "S3DataSource", "InstanceGroupNames")


def make_input(uri: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """A channel with its own InputMode: the job's default may be Pipe.

    It has no ContentType. It names all instance groups if another channel names some: the SDKs
    write that either all channels name groups, or none does.
    """
    source: dict[str, Any] = {
        "S3DataType": "S3Prefix",
        "S3Uri": uri,
        "S3DataDistributionType": "FullyReplicated",
    }
    if any(value_at(item, _GROUP_NAMES) for item in request.get("InputDataConfig") or ()):
        groups = value_at(request, ("ResourceConfig", "InstanceGroups")) or ()
        source["InstanceGroupNames"] = [group.get("InstanceGroupName") for group in groups]
    return {
        "ChannelName": channel.NAME,
        "DataSource": {"S3DataSource": source},
        "InputMode": "File",
    }


def uri_path() -> Path:
    """DataSource.S3DataSource.S3Uri."""
    return ("DataSource", "S3DataSource", "S3Uri")


def name_of_input(item: Mapping[str, Any]) -> str:
    """The channel's name."""
    return str(item.get("ChannelName", ""))


def outputs(request: Mapping[str, Any]) -> Iterator[str]:
    """The model's, then the checkpoints'."""
    for path in (("OutputDataConfig", "S3OutputPath"), ("CheckpointConfig", "S3Uri")):
        yield str(value_at(request, path) or "")


def default_arguments(cmd: Sequence[str]) -> tuple[str, ...]:
    """`train`, which replaces the image's CMD.

    Source: "How Amazon SageMaker AI Runs Your Training Image" in the Developer Guide.
    """
    del cmd
    return ("train",)


def refuse(request: Mapping[str, Any]) -> None:
    """Raise for a job without a container of the user's.

    Raises:
        SmProxyError: `serverless` or `unsupported`.
    """
    if request.get("ServerlessJobConfig"):
        raise SmProxyError(
            "serverless",
            "a serverless job has no container that ssh could reach",
            "Run it as a training job with ResourceConfig and a TrainingImage.",
        )
    algorithm = request.get("AlgorithmSpecification") or {}
    if algorithm.get("AlgorithmName"):
        raise SmProxyError(
            "unsupported",
            f"the algorithm {algorithm['AlgorithmName']} decides itself what its container runs",
            "Name its image as TrainingImage, instead of AlgorithmName, if you may read it.",
        )
    if not algorithm.get("TrainingImage"):
        raise SmProxyError(
            "unsupported",
            "the request names no image, so ssh has no container to start in",
            "Add AlgorithmSpecification.TrainingImage.",
        )
