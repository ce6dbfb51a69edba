"""A job of any kind, as the service describes it now."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sm_proxy.aws.job_kinds import Kind
from sm_proxy.errors import SmProxyError

Phase = Literal["starting", "running", "ended", "failed"]
"""Before, during and after the life of its containers; `failed` has a FailureReason."""

_NUMBERED = re.compile(r"algo-([0-9]+)")


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A job in the result of a List call.

    Attributes:
        name: as the service spells it.
        kind: which kind of job.
        status: the SecondaryStatus, or the status of a kind that has none.
        phase: what the status means for its containers.
        created: its CreationTime.
        failure_reason: the service's message, if the List call has one.
        place: what its host name needs beside its name: the domain of a Studio space.
        remote_access: of a Studio space: whether sessions may reach it.
    """

    name: str
    kind: Kind
    status: str
    phase: Phase
    created: datetime
    failure_reason: str = ""
    place: str = ""
    remote_access: bool = False


@dataclass(frozen=True, kw_only=True)
class Job(Summary):
    """A job as the service describes it.

    All fields are plain values, so that the cache can save it.

    Attributes:
        noun: its kind in words, such as `training job`.
        log_group: its log group.
        status_since: when `status` began.
        status_message: the service's message about the status.
        progress: its statuses so far: `Starting -> Downloading (2 min) -> Training`.
        subnets: ids of the VpcConfig's subnets; empty when it has none.
        vpc_source: the model or endpoint configuration that `subnets` come from.
        nodes: how many instances it has.
        instance_type: of all its nodes, such as `ml.p4d.24xlarge`; empty if unknown, or if they
            differ.
        max_runtime_s: MaxRuntimeInSeconds, where its kind has one.
        max_wait_s: MaxWaitTimeInSeconds of a spot job.
        remote_debug: whether RemoteDebug is on: Session Manager reaches its containers.
        console: URL of its page in the AWS console; empty if unknown.
        arn: its ARN, for a kind of `SESSION_KINDS`: it is part of what a session reaches.
        orchestrator: what schedules work on a HyperPod cluster: `Eks`, `Slurm`; empty if unknown.
        app_type: of a Studio space, such as `JupyterLab`; empty in Studio Classic.
        life: of a Studio space: when its app was created, in ISO 8601; empty without an app.
        image: of a Studio space: that of its app, such as `sagemaker-distribution-cpu:2.7.1`; empty
            if unknown.
    """

    noun: str
    log_group: str
    status_since: datetime
    status_message: str = ""
    progress: str = ""
    subnets: tuple[str, ...] = ()
    vpc_source: str = ""
    nodes: int = 1
    instance_type: str = ""
    max_runtime_s: int | None = None
    max_wait_s: int | None = None
    remote_debug: bool = False
    console: str = ""
    arn: str = ""
    orchestrator: str = ""
    app_type: str = ""
    life: str = ""
    image: str = ""

    @property
    def running(self) -> bool:
        """Whether its containers run."""
        return self.phase == "running"

    @property
    def over(self) -> bool:
        """Whether its containers have ended."""
        return self.phase in {"ended", "failed"}

    @property
    def must_end_by(self) -> datetime | None:
        """When the service ends it at the latest; None without a limit."""
        if self.max_runtime_s is None:
            return None
        return self.created + timedelta(seconds=self.max_runtime_s + (self.max_wait_s or 0))

    def ending(self) -> SmProxyError:
        """The error for an ended job: `job-failed` with the FailureReason, or `job-ended`."""
        if self.phase == "failed":
            return SmProxyError(
                "job-failed",
                f"{self.noun} {self.name} has failed: {self.failure_reason or 'no reason given'}",
                f"Its log is in {self.log_group}.",
            )
        return SmProxyError(
            "job-ended",
            f"{self.noun} {self.name} is {self.status}: its container is gone",
            "Start it again, and connect while it runs.",
        )

    def refuse_if_over(self) -> None:
        """Raise if the containers have ended.

        Raises:
            SmProxyError: `job-failed` or `job-ended`.
        """
        if self.over:
            raise self.ending()

    def refuse_unless_reachable(self) -> None:
        """Raise if the job has neither VpcConfig nor RemoteDebug: nothing reaches its containers.

        Raises:
            SmProxyError: `no-vpc`.
        """
        if self.subnets or self.remote_debug:
            return
        if self.kind != "training":
            raise SmProxyError(
                "no-vpc",
                f"{self.noun} {self.name} does not run in a VPC, so nothing can reach its"
                " container",
                "Submit it with VpcConfig (subnets and security_group_ids).",
            )
        raise SmProxyError(
            "no-vpc",
            f"{self.noun} {self.name} does not run in a VPC, and its RemoteDebug is off, so"
            " nothing can reach its container",
            f"Switch RemoteDebug on: sm-proxy enable-remote-debug {self.name}. Or start it again:"
            f" sm-proxy relaunch {self.name} --remote-debug, or with VpcConfig (subnets and"
            " security_group_ids).",
        )

    def refuse_unless_training(self, hint: str) -> None:
        """Raise if the job is of a kind that has no RemoteDebug.

        Args:
            hint: what to do instead.

        Raises:
            SmProxyError: `unsupported`.
        """
        if self.kind != "training":
            what = f"{self.noun} {self.name} has no RemoteDebug: only training jobs have it"
            raise SmProxyError("unsupported", what, hint)

    def refuse_missing_node(self, node: str) -> None:
        """Raise if `algo-<n>` is above the number of nodes; an instance id is not checked.

        Raises:
            SmProxyError: `bad-name`.
        """
        numbered = _NUMBERED.fullmatch(node)
        if numbered and int(numbered[1]) > self.nodes:
            raise SmProxyError(
                "bad-name",
                f"{self.noun} {self.name} has {self.nodes} node(s): there is no {node}",
                f"Its nodes are algo-1 to algo-{self.nodes}."
                if self.nodes > 1
                else "Its only node is algo-1.",
            )


def training_target(job: str, node: str) -> str:
    """The target of SSM sessions to the agent that RemoteDebug runs in a container.

    The form is from the SageMaker guide, "Access a training container through AWS Systems Manager".
    """
    return f"sagemaker-training-job:{job}_{node}"
