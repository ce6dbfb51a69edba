"""Find the log stream of a node.

    /aws/sagemaker/TrainingJobs       <job>/algo-<n>-<epoch>
    /aws/sagemaker/ProcessingJobs     <job>/algo-<n>-<epoch>
    /aws/sagemaker/TransformJobs      <job>/<instance-id>-<epoch>
    /aws/sagemaker/Endpoints/<name>   <variant>/<instance-id>

(SageMaker's guide, "CloudWatch logs for Amazon SageMaker AI".) The groups also have streams that do
not belong to a container, such as `.../data-log` and RemoteDebug's `.../ssm`. Names share prefixes:
`algo-10` and `algo-1`, `<job>-2` and `<job>`. So we compare whole names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError

INSTANCE: Final = r"i-[0-9a-f]{8,17}"
_PAGES: Final = 4
_PAGES_OF_ALL: Final = 40
"""Of 50 streams each: enough for a job with hundreds of nodes that has restarted."""
_EPOCH: Final = re.compile(r"-([0-9]{9,13})$")
_MILLISECONDS_FROM: Final = 10**11
"""Epochs in names are seconds; numbers from here on are milliseconds."""


@dataclass(frozen=True)
class Streams:
    """How to find a node's stream in its log group.

    Attributes:
        group: the log group.
        prefix: the first part of all names; empty if the job has a group of its own.
        pattern: matches a whole name, with the group `node`.
        node: `algo-2`, or an instance id.
        instances: 0 if containers call themselves algo-n; otherwise the job's number of
            instances, and `algo-2` means the second one in the order of ids.
    """

    group: str
    prefix: str
    pattern: re.Pattern[str]
    node: str
    instances: int = 0

    def choose(self, streams: Iterable[Mapping[str, Any]]) -> str | None:
        """The newest stream of the node, from results of DescribeLogStreams."""
        newest = self._newest(streams)
        node = self._node_among(newest)
        return newest[node][1] if node in newest else None

    def choose_all(self, streams: Iterable[Mapping[str, Any]]) -> dict[str, str]:
        """The newest stream of each node that matches the pattern, in the order of nodes."""
        newest = self._newest(streams)
        nodes = self._alive(newest) if self.instances else sorted(newest, key=_number)
        return {node: newest[node][1] for node in nodes}

    def _newest(self, streams: Iterable[Mapping[str, Any]]) -> dict[str, tuple[int, str]]:
        newest: dict[str, tuple[int, str]] = {}
        for stream in streams:
            name = str(stream.get("logStreamName", ""))
            if match := self.pattern.fullmatch(name):
                age = (started_ms(name) or int(stream.get("creationTime") or 0), name)
                newest[match["node"]] = max(age, newest.get(match["node"], age))
        return newest

    def _node_among(self, newest: Mapping[str, tuple[int, str]]) -> str:
        if not self.instances or not self.node.startswith("algo-"):
            return self.node
        ids = dict(enumerate(self._alive(newest), 1))
        return ids.get(int(self.node.removeprefix("algo-")), "")

    def _alive(self, newest: Mapping[str, tuple[int, str]]) -> list[str]:
        # After an update or scaling, an endpoint still has the streams of its former instances.
        alive = sorted(newest, key=lambda instance: newest[instance], reverse=True)
        return sorted(alive[: self.instances])


def find_newest(aws: Aws, wanted: Streams) -> str | None:
    """The node's newest stream; None if there is none. One call, or up to four for many streams.

    Raises:
        SmProxyError: a call failed.
    """
    parameters = _parameters(wanted)
    seen: list[Mapping[str, Any]] = []
    for _ in range(_PAGES):
        page = _page(aws, parameters)
        seen += page.get("logStreams", [])
        token = page.get("nextToken")
        # To count instances we need all streams; a node with a name needs its own only.
        if not token or (not wanted.instances and wanted.choose(seen)):
            break
        parameters["nextToken"] = token
    return wanted.choose(seen)


def find_all(aws: Aws, wanted: Streams, job: str) -> dict[str, str]:
    """The newest stream of each node of a job: node -> stream, in the order of nodes.

    One call for each 50 streams. Nodes that have no stream yet are not among them.

    Args:
        aws: for the calls.
        wanted: how to find the stream of one of its nodes.
        job: its name.

    Raises:
        SmProxyError: a call failed.
    """
    if not wanted.instances:
        pattern = re.compile(rf"{re.escape(job)}/(?P<node>algo-[1-9][0-9]{{0,3}})-[0-9]+")
        wanted = replace(wanted, prefix=f"{job}/", pattern=pattern)
    parameters = _parameters(wanted)
    seen: list[Mapping[str, Any]] = []
    for _ in range(_PAGES_OF_ALL):
        page = _page(aws, parameters)
        seen += page.get("logStreams", [])
        if not page.get("nextToken"):
            break
        parameters["nextToken"] = page["nextToken"]
    return wanted.choose_all(seen)


def _parameters(wanted: Streams) -> dict[str, Any]:
    order: dict[str, Any] = {"logGroupName": wanted.group, "descending": True}
    if not wanted.prefix:  # not both: "Cannot order by LastEventTime with a logStreamNamePrefix."
        return {**order, "orderBy": "LastEventTime"}
    return {**order, "orderBy": "LogStreamName", "logStreamNamePrefix": wanted.prefix}


def _page(aws: Aws, parameters: dict[str, Any]) -> dict[str, Any]:
    try:
        return aws.call("logs", "DescribeLogStreams", **parameters)
    except ServiceError as error:
        if error.error == "ResourceNotFoundException":
            return {}  # the first job of an account creates the group
        raise error.as_failure() from None


def _number(node: str) -> int:
    return int(node.removeprefix("algo-"))


def started_ms(name: str) -> int | None:
    """When a stream's container started, in Unix milliseconds; None if the name has no epoch."""
    found = _EPOCH.search(name)
    if found is None:
        return None
    number = int(found[1])
    return number if number >= _MILLISECONDS_FROM else number * 1000
