"""The nodes of a HyperPod cluster: instances in instance groups, with a number in each group.

Numbers are by LaunchTime, then by id, so that a new node comes last. When a node is replaced, those
after it move down by one: `workers.3` may then be the former `workers.4`. An instance id is never
given to another node.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError, printable
from sm_proxy.jobs.job import Job
from sm_proxy.jobs.times import first_time

STARTING: Final = frozenset(
    {"AttachInProgress", "DeepHealthCheckInProgress", "Pending", "SystemUpdating"}
)
"""InstanceStatus of a node that becomes Running by itself; deep checks take hours."""
_RUNNING: Final = "Running"
_LEAVING: Final = frozenset({"ShuttingDown", "DetachInProgress", "NotFound"})
"""InstanceStatus of a node that has no number any more."""
_FAILED: Final = "Failure"
_PAGE: Final = 100
"""The largest MaxResults of ListClusterNodes."""
_GROUP: Final = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
_INSTANCE: Final = re.compile(r"i-[a-f0-9]{8}(?:[a-f0-9]{9})?")
"""ClusterInstanceGroupName and ClusterNodeId of SageMaker's API reference.

They go into targets of sessions and names of files, so we check them.
"""
_SHOWN: Final = 200


@dataclass(frozen=True)
class ClusterNode:
    """A node.

    Attributes:
        group: its instance group.
        number: in its group, from 1; None while it leaves.
        instance: its instance id.
        instance_type: such as `ml.p5.48xlarge`.
        status: its InstanceStatus, such as `Running`.
        message: the service's words about the status; often empty.
    """

    group: str
    number: int | None
    instance: str
    instance_type: str
    status: str
    message: str

    @property
    def label(self) -> str:
        """Its labels in a host name: `workers.2`; with its id if it has no number."""
        return f"{self.group}.{self.number or self.instance}"

    @property
    def identity(self) -> str:
        """Its labels in a host name that never mean another node: `workers.i-0abc...`."""
        return f"{self.group}.{self.instance}"

    @property
    def running(self) -> bool:
        """Whether it is Running."""
        return self.status == _RUNNING

    def awaited(self, job: Job) -> Job:
        """The node in place of its cluster, for messages about what is waited for."""
        why = f": {printable(self.message, _SHOWN)}" if self.message else ""
        return replace(
            job,
            noun=f"node {self.label} of {job.noun}",
            status=self.status,
            progress=f"{self.label} is {self.status}{why}",
        )

    def refuse_unless_running(self, job: Job) -> None:
        """Raise if the node is not Running.

        Raises:
            SmProxyError: `job-failed`, `job-ended` if it leaves, or `no-address`.
        """
        if self.running:
            return
        why = f": {printable(self.message, _SHOWN)}" if self.message else ""
        what = f"node {self.identity} of {job.noun} {job.name} is {self.status}{why}"
        if self.status == _FAILED:
            stream = f"LifecycleConfig/{self.group}/{self.instance}"
            raise SmProxyError("job-failed", what, f"Its log: {job.log_group}, stream {stream}.")
        if self.status in _LEAVING:
            raise SmProxyError("job-ended", what, "Take another node of the cluster.")
        raise SmProxyError("no-address", what, "Connect again when it is Running.")


def of(aws: Aws, cluster: str, group: str = "") -> list[ClusterNode]:
    """The nodes of a cluster, or of one of its groups, by group and number; those that leave last.

    ListClusterNodes, all pages.

    Raises:
        SmProxyError: a call failed.
    """
    # `contains` is all that the service filters by: `a` also brings the nodes of `a-1`.
    filters = {"InstanceGroupNameContains": group} if group else {}
    items = [
        item
        for item in _pages(aws, ClusterName=cluster, MaxResults=_PAGE, **filters)
        if group in {"", item["InstanceGroupName"]} and _may_be_named(item)
    ]
    items.sort(key=lambda item: (first_time(item.get("LaunchTime")), item["InstanceId"]))
    counts = Counter[str]()
    found = [_node(item, counts) for item in items]
    return sorted(found, key=lambda node: (node.group, node.number is None, node.number or 0))


def count(nodes: Iterable[ClusterNode]) -> list[tuple[str, int]]:
    """How many nodes with a number each group has, by name."""
    return sorted(Counter(node.group for node in nodes if node.number).items())


def _pages(aws: Aws, **parameters: Any) -> Iterator[Mapping[str, Any]]:
    more: dict[str, str] = {}
    while True:
        try:
            page = aws.call("sagemaker", "ListClusterNodes", **parameters, **more)
        except ServiceError as error:
            raise error.as_failure() from None
        yield from page.get("ClusterNodeSummaries", ())
        if not page.get("NextToken"):
            return
        more = {"NextToken": page["NextToken"]}


def _may_be_named(item: Mapping[str, Any]) -> bool:
    return bool(
        _GROUP.fullmatch(str(item.get("InstanceGroupName", "")))
        and _INSTANCE.fullmatch(str(item.get("InstanceId", "")))
    )


def _node(item: Mapping[str, Any], counts: Counter[str]) -> ClusterNode:
    """The node, which gets the next number of its group."""
    group, state = str(item["InstanceGroupName"]), item.get("InstanceStatus") or {}
    status = str(state.get("Status", ""))
    leaves = status in _LEAVING
    if not leaves:
        counts[group] += 1
    return ClusterNode(
        group=group,
        number=None if leaves else counts[group],
        instance=str(item["InstanceId"]),
        instance_type=str(item.get("InstanceType", "")),
        status=status,
        message=str(state.get("Message", "")),
    )
