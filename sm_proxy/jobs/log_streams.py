"""Which log stream is a node's, and how it is found.

    /aws/sagemaker/TrainingJobs       <job>/algo-<n>-<epoch>
    /aws/sagemaker/ProcessingJobs     <job>/algo-<n>-<epoch>
    /aws/sagemaker/TransformJobs      <job>/<instance-id>-<epoch>
    /aws/sagemaker/Endpoints/<name>   <variant>/<instance-id>

(SageMaker's guide, "CloudWatch logs for Amazon SageMaker AI".) Beside these stand others that are
no container's own: `.../data-log`, `.../ssm` of RemoteDebug, and neighbours that share a prefix,
such as `algo-10` with `algo-1` or `<job>-2` with `<job>`. So whole names are compared.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError

INSTANCE: Final = r"i-[0-9a-f]{8,17}"
_PAGES: Final = 4


@dataclass(frozen=True)
class Streams:
    """How a node's stream is found among those of its log group.

    Attributes:
        group: the log group.
        prefix: what their names begin with; empty in a group of the job's own.
        pattern: of a whole name, with the groups `node` and, where names have one, `epoch`.
        node: `algo-2`, or an instance id.
        instances: 0 where containers call themselves algo-n; otherwise how many instances the
            job has, and `algo-2` is the second of them by id.
    """

    group: str
    prefix: str
    pattern: re.Pattern[str]
    node: str
    instances: int = 0

    def choose(self, streams: Iterable[Mapping[str, Any]]) -> str | None:
        """The newest stream of the node, out of what DescribeLogStreams told."""
        newest: dict[str, tuple[int, str]] = {}
        for stream in streams:
            name = str(stream.get("logStreamName", ""))
            if match := self.pattern.fullmatch(name):
                age = (_epoch(match, stream), name)
                newest[match["node"]] = max(age, newest.get(match["node"], age))
        node = self._node_among(newest)
        return newest[node][1] if node in newest else None

    def _node_among(self, newest: Mapping[str, tuple[int, str]]) -> str:
        if not self.instances or not self.node.startswith("algo-"):
            return self.node
        # An endpoint that was updated or scaled has the streams of its former instances too.
        alive = sorted(newest, key=lambda instance: newest[instance], reverse=True)
        ids = dict(enumerate(sorted(alive[: self.instances]), 1))
        return ids.get(int(self.node.removeprefix("algo-")), "")


def find_newest(aws: Aws, wanted: Streams) -> str | None:
    """The node's newest stream, if there is one: one call, or a few where there are very many.

    Raises:
        SmProxyError: what the call met.
    """
    parameters = _parameters(wanted)
    seen: list[Mapping[str, Any]] = []
    for _ in range(_PAGES):
        page = _page(aws, parameters)
        seen += page.get("logStreams", [])
        token = page.get("nextToken")
        # Instances are counted, so all have to be seen; a name speaks for itself.
        if not token or (not wanted.instances and wanted.choose(seen)):
            break
        parameters["nextToken"] = token
    return wanted.choose(seen)


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
            return {}  # the very first job of an account makes the group
        raise error.as_failure() from None


def _epoch(match: re.Match[str], stream: Mapping[str, Any]) -> int:
    """When the container started: as its name says, else when its stream was made."""
    named = match.groupdict().get("epoch")
    return int(named or stream.get("creationTime") or 0)
