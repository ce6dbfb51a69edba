"""CreateProcessingJob. Limits are those of its service model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from sm_proxy.errors import SmProxyError
from sm_proxy.launch import channel
from sm_proxy.launch.changes import Path, value_at

NAME: Final = "ProcessingJobName"
KIND: Final = "processing"
VPC: Final[Path] = ("NetworkConfig", "VpcConfig")
ISOLATION: Final[Path] = ("NetworkConfig", "EnableNetworkIsolation")
REMOTE_DEBUG: Final[Path | None] = None
CONTAINER: Final[Path] = ("AppSpecification",)
IMAGE: Final[Path] = ("AppSpecification", "ImageUri")
INPUTS: Final[Path] = ("ProcessingInputs",)
INPUTS_LIMIT: Final = 10
VARIABLE_LIMIT: Final = 256
FOLDER: Final = channel.PROCESSING_PATH
RESOURCES: Final[Path] = ("ProcessingResources", "ClusterConfig")
USAGE: Final = "Processing"


def make_input(uri: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """An input that is copied into the container before its program starts."""
    del request
    return {
        "InputName": channel.NAME,
        "S3Input": {
            "S3Uri": uri,
            "LocalPath": FOLDER,
            "S3DataType": "S3Prefix",
            "S3InputMode": "File",
            "S3DataDistributionType": "FullyReplicated",
        },
    }


def uri_path() -> Path:
    """S3Input.S3Uri."""
    return ("S3Input", "S3Uri")


def name_of_input(item: Mapping[str, Any]) -> str:
    """The input's name."""
    return str(item.get("InputName", ""))


def outputs(request: Mapping[str, Any]) -> Iterator[str]:
    """Those of the program, each under a path of its own."""
    for item in value_at(request, ("ProcessingOutputConfig", "Outputs")) or ():
        yield str(value_at(item, ("S3Output", "S3Uri")) or "")


def default_arguments(cmd: Sequence[str]) -> tuple[str, ...]:
    """The image's CMD, as in `docker run`."""
    return tuple(cmd)


def refuse(request: Mapping[str, Any]) -> None:
    """Raise if the request names no image.

    Raises:
        SmProxyError: `unsupported`.
    """
    if not (request.get("AppSpecification") or {}).get("ImageUri"):
        raise SmProxyError(
            "unsupported",
            "the request names no image, so ssh has no container to start in",
            "Add AppSpecification.ImageUri.",
        )
