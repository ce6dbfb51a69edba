"""A job as it was requested: its containers, their command, and the files they find at their start.

Kinds of jobs differ in the members of the request, in the folders below `/opt/ml` and in their
statuses. Each kind is a subclass of `JobRequest`; the rest of the lab works with all of them.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from sm_proxy_lab.aws.http.call import ACCOUNT
from sm_proxy_lab.machines import role_credentials

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sm_proxy_lab.image_config import ImageConfig

_ONE_GROUP = "homogeneousCluster"  # SageMaker's name for the only group of a job
_DAY_S = 86400


@dataclass(frozen=True)
class Instance:
    """One machine of a job.

    Attributes:
        host: the name by which the job's machines know it: `algo-1`, `algo-2`, ...
        kind: its instance type.
        group: the name of its instance group.
    """

    host: str
    kind: str
    group: str = _ONE_GROUP


@dataclass(frozen=True)
class Input:
    """Data in S3 that the service copies into containers before they start.

    Attributes:
        folder: where it goes, below the container's root and without a leading slash.
        uri: `s3://bucket/prefix`, or None if there is nothing to copy.
        manifest: whether `uri` names a manifest, which lists the objects.
        sharded: whether each machine gets a part of the objects.
        read_only: whether the folder is read-only, as in FastFile mode.
        optional: whether the job goes on if there are no such objects.
        groups: the instance groups that get it; empty for all.
    """

    folder: str
    uri: str | None
    manifest: bool = False
    sharded: bool = False
    read_only: bool = False
    optional: bool = False
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Output:
    """A folder that the service copies to S3 while the job runs.

    Attributes:
        folder: below the container's root and without a leading slash.
        uri: `s3://bucket/prefix`.
    """

    folder: str
    uri: str


@dataclass(frozen=True)
class JobRequest(ABC):
    """A job as it was requested, and the lab's options for it.

    Attributes:
        name: the job's name.
        region: the region of the job.
        request: the Create request.
        program: path of a training program on the host; None for the demo's.
        filler: number of log lines after the marker.
        filler_before: number of log lines before the container's first.
    """

    name: str
    region: str
    request: dict[str, Any]
    program: str | None = None
    filler: int = 0
    filler_before: int = 0

    KIND: ClassVar[str]
    LOG_GROUP: ClassVar[str]
    IMAGE: ClassVar[tuple[str, str]]
    """The members of the request with the image and the command, and in it the image's URI."""
    FOLDERS: ClassVar[tuple[str, ...]]
    """Folders that a container has below `/opt/ml`."""
    MESSAGE: ClassVar[str]
    """The file below `/opt/ml` in which a container says how it ended."""

    @property
    def arn(self) -> str:
        """The job's ARN, in which SageMaker writes the name in lower case."""
        return f"arn:aws:sagemaker:{self.region}:{ACCOUNT}:{self.KIND}-job/{self.name.lower()}"

    @property
    def role(self) -> str:
        """The ARN of the job's role."""
        return str(self.request.get("RoleArn", role_credentials.ARN))

    @property
    def image(self) -> str:
        """The URI of the image; empty if the request has none."""
        specification, uri = self.IMAGE
        return str(self.request.get(specification, {}).get(uri, ""))

    @property
    def requested_entrypoint(self) -> list[str]:
        """The request's ContainerEntrypoint; empty if it has none."""
        return list(self.request.get(self.IMAGE[0], {}).get("ContainerEntrypoint", []))

    @property
    def requested_arguments(self) -> list[str]:
        """The request's ContainerArguments; empty if it has none."""
        return list(self.request.get(self.IMAGE[0], {}).get("ContainerArguments", []))

    @property
    def remote_debug(self) -> bool:
        """Whether the request switches RemoteDebug on, which only training jobs have."""
        return bool(self.request.get("RemoteDebugConfig", {}).get("EnableRemoteDebug"))

    @property
    def max_runtime_s(self) -> int:
        """Seconds after which SageMaker stops the job."""
        return int(self.request.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", _DAY_S))

    def command(self, image: ImageConfig) -> list[str]:
        """What a container's first process is to run: entry point and arguments."""
        if self.requested_entrypoint:
            return [*self.requested_entrypoint, *self.requested_arguments]
        return [*image.entrypoint, *(self.requested_arguments or self._default_arguments(image))]

    @abstractmethod
    def _default_arguments(self, image: ImageConfig) -> Sequence[str]:
        """The arguments of the image's ENTRYPOINT where the request has none."""

    @abstractmethod
    def instances(self) -> list[Instance]:
        """The machines of the job."""

    @abstractmethod
    def vpc(self) -> dict[str, list[str]]:
        """The request's VpcConfig; empty if the job is not in a VPC."""

    @abstractmethod
    def is_isolated(self) -> bool:
        """Whether the containers can reach each other only."""

    @abstractmethod
    def inputs(self) -> list[Input]:
        """What the service copies from S3."""

    @abstractmethod
    def outputs(self) -> list[Output]:
        """What the service copies to S3 while the job runs."""

    @abstractmethod
    def documents(
        self, instance: Instance, instances: list[Instance], device: str
    ) -> dict[str, object]:
        """Path below `/opt/ml` -> content of the JSON files that tell a container about the job."""

    def environment(
        self, image: ImageConfig, instance: Instance, hosts: list[str], device: str
    ) -> dict[str, str]:
        """A container's environment variables: those of the image, the service and the request.

        Args:
            image: the container's image.
            instance: the container's machine.
            hosts: the names of all machines of the job.
            device: the name of the container's network interface.
        """
        token = os.urandom(16).hex()  # the path is the secret that gives the role's credentials
        return {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            **image.environment,
            "HOSTNAME": instance.host,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": f"/v2/credentials/{token}",
            "DMLC_INTERFACE": device,
            **self._own_environment(instance, hosts, device),
            **self.request.get("Environment", {}),
        }

    def _own_environment(
        self,
        instance: Instance,  # noqa: ARG002 - for kinds that have something of their own
        hosts: list[str],  # noqa: ARG002
        device: str,  # noqa: ARG002
    ) -> dict[str, str]:
        """What only this kind of job has in its environment."""
        return {}

    @abstractmethod
    def status_change(
        self, step: str, reason: str | None, words: str
    ) -> tuple[str, Mapping[str, Any]] | None:
        """How to tell the AWS endpoint of a new status.

        Args:
            step: a SecondaryStatus of training jobs.
            reason: why the job failed, or None.
            words: what the containers wrote to their message files.

        Returns:
            A method of `ControlQueue` and its named arguments; None if this kind of job has no
            such status.
        """

    @abstractmethod
    def failure_reason(self, words: str, code: int) -> str:
        """The FailureReason if a container has ended with an exit code.

        Args:
            words: what the container wrote to its message file.
            code: its exit code.
        """
