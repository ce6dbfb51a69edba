"""What a job is right now, whatever its kind and its age."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sm_proxy.aws.job_kinds import Kind
from sm_proxy.errors import SmProxyError

Phase = Literal["starting", "running", "ended", "failed"]
"""No container yet; a container; none any more, whatever the reason; none, for a reason."""

_NUMBERED = re.compile(r"algo-([0-9]+)")


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A job's line in the list of its kind.

    Attributes:
        name: as the service spells it.
        kind: which kind of job.
        status: the SecondaryStatus, or the status of a kind that has none.
        phase: what that means for its containers.
        created: its CreationTime.
        failure_reason: the service's words, where its list has them.
    """

    name: str
    kind: Kind
    status: str
    phase: Phase
    created: datetime
    failure_reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Job(Summary):
    """A job as the service describes it.

    Every field is plain, so that the whole can be written to a file.

    Attributes:
        noun: what people call its kind.
        log_group: its log group.
        status_since: when `status` began.
        status_message: the service's words about it, for people.
        progress: its statuses so far: `Starting -> Downloading (2 min) -> Training`.
        subnets: ids of the VpcConfig's subnets; empty when it has none.
        vpc_source: the model or endpoint configuration that `subnets` come from.
        nodes: how many instances it has.
        max_runtime_s: MaxRuntimeInSeconds, where its kind has one.
        max_wait_s: MaxWaitTimeInSeconds of a spot job.
        console: address of its page in the AWS console; empty if that is not known.
    """

    noun: str
    log_group: str
    status_since: datetime
    status_message: str = ""
    progress: str = ""
    subnets: tuple[str, ...] = ()
    vpc_source: str = ""
    nodes: int = 1
    max_runtime_s: int | None = None
    max_wait_s: int | None = None
    console: str = ""

    @property
    def running(self) -> bool:
        """Whether its containers are there."""
        return self.phase == "running"

    @property
    def over(self) -> bool:
        """Whether there is no container, and will be none."""
        return self.phase in {"ended", "failed"}

    @property
    def must_end_by(self) -> datetime | None:
        """When the service will have ended it; None where nothing limits it."""
        if self.max_runtime_s is None:
            return None
        return self.created + timedelta(seconds=self.max_runtime_s + (self.max_wait_s or 0))

    def ending(self) -> SmProxyError:
        """The error for a job that is over: `job-failed` with the FailureReason, or `job-ended`."""
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
        """Raise if there is, and will be, no container.

        Raises:
            SmProxyError: `job-failed` or `job-ended`.
        """
        if self.over:
            raise self.ending()

    def refuse_unless_in_vpc(self) -> None:
        """Raise if nothing can reach its containers.

        Raises:
            SmProxyError: `no-vpc`.
        """
        if not self.subnets:
            raise SmProxyError(
                "no-vpc",
                f"{self.noun} {self.name} does not run in a VPC, so its container has no address"
                " for us",
                "Submit it with VpcConfig (subnets and security_group_ids).",
            )

    def refuse_missing_node(self, node: str) -> None:
        """Raise if the job has fewer nodes; whether it has an instance only its log tells.

        Raises:
            SmProxyError: `bad-name`.
        """
        numbered = _NUMBERED.fullmatch(node)
        if numbered and int(numbered[1]) > self.nodes:
            raise SmProxyError(
                "bad-name",
                f"{self.noun} {self.name} has {self.nodes} node(s), there is no {node}",
                f"Nodes are algo-1 to algo-{self.nodes}.",
            )
