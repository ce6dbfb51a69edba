"""The members of an operation's request that we read and change: one module per operation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any, Final, Literal, Protocol, cast

from sm_proxy.launch.changes import Path
from sm_proxy.launch.shapes import processing, training

Operation = Literal["CreateTrainingJob", "CreateProcessingJob"]

_MODULES: Final[dict[Operation, ModuleType]] = {
    "CreateTrainingJob": training,
    "CreateProcessingJob": processing,
}
OPERATIONS: Final[tuple[Operation, ...]] = tuple(_MODULES)


class Shape(Protocol):
    """The members of a module for an operation."""

    # ruff: noqa: N802 - constants of a module
    @property
    def NAME(self) -> str:
        """The field with the job's name."""

    @property
    def KIND(self) -> str:
        """The kind of the job, as in host names."""

    @property
    def VPC(self) -> Path:
        """The VpcConfig."""

    @property
    def ISOLATION(self) -> Path:
        """Whether the job is in network isolation."""

    @property
    def REMOTE_DEBUG(self) -> Path | None:
        """Whether RemoteDebug is on; None for kinds that have none."""

    @property
    def CONTAINER(self) -> Path:
        """The object with ContainerEntrypoint and ContainerArguments."""

    @property
    def IMAGE(self) -> Path:
        """The image's URI."""

    @property
    def INPUTS(self) -> Path:
        """The list of inputs."""

    @property
    def INPUTS_LIMIT(self) -> int:
        """How many inputs a job may have."""

    @property
    def VARIABLE_LIMIT(self) -> int:
        """How many characters the value of an environment variable may have."""

    @property
    def FOLDER(self) -> str:
        """Where the container finds our input."""

    @property
    def RESOURCES(self) -> Path:
        """The object with the instances: InstanceType, InstanceCount, InstanceGroups."""

    @property
    def USAGE(self) -> str:
        """The word for such jobs in the price list's usage types: `USE1-Train:ml.m5.xlarge`."""

    def make_input(self, uri: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Our input, which brings the S3 folder `uri` into the container."""

    def uri_path(self) -> Path:
        """Where such an input has its URI."""

    def name_of_input(self, item: Mapping[str, Any]) -> str:
        """The name of an input."""

    def outputs(self, request: Mapping[str, Any]) -> Iterator[str]:
        """Where the job writes to S3: addresses, which may be empty."""

    def default_arguments(self, cmd: Sequence[str]) -> tuple[str, ...]:
        """What follows the image's ENTRYPOINT if the request has no ContainerArguments."""

    def refuse(self, request: Mapping[str, Any]) -> None:
        """Raise if a job of such a request cannot have a container with ssh.

        Raises:
            SmProxyError: `serverless` or `unsupported`.
        """


def of(operation: Operation) -> Shape:
    """The module of an operation."""
    return cast("Shape", _MODULES[operation])


def creating(kind: str) -> Operation | None:
    """The operation that creates jobs of a kind; None if they cannot be launched with ssh."""
    return next((name for name in OPERATIONS if kind == of(name).KIND), None)
