"""Endpoints: their nodes are the instances of all their variants."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import console_url
from sm_proxy.jobs.job import Job, Phase, Summary
from sm_proxy.jobs.kinds import _calls
from sm_proxy.jobs.log_streams import INSTANCE, Streams
from sm_proxy.jobs.times import first_time

NOUN: Final = "endpoint"
NODES_ARE_NAMED: Final = False
CAN_BE_KEPT: Final = False
CAN_BE_RELAUNCHED: Final = False
ONE_STATUS_IS_LIVE: Final = False
"""An endpoint serves in several statuses; one that has ended is deleted."""
_GROUP: Final = "/aws/sagemaker/Endpoints/"
_PHASES: Final[dict[str, Phase]] = {
    "Creating": "starting",
    "InService": "running",
    "Updating": "running",
    "SystemUpdating": "running",
    "RollingBack": "running",
    "UpdateRollbackFailed": "running",
    "OutOfService": "ended",
    "Deleting": "ended",
    "Failed": "failed",
}
"""By EndpointStatus; during an update, the former instances still serve."""
_PATTERN: Final = re.compile(rf"[a-zA-Z0-9-]{{1,63}}/(?P<node>{INSTANCE})")


def describe_call(name: str) -> tuple[str, dict[str, str]]:
    """DescribeEndpoint."""
    return "DescribeEndpoint", {"EndpointName": name}


def stop_call(name: str) -> NoReturn:
    """Refuse: an endpoint serves until it is deleted, and others may depend on it.

    Raises:
        SmProxyError: `unsupported`.
    """
    raise SmProxyError(
        "unsupported",
        f"{NOUN} {name} cannot be stopped: it serves, and is billed, until it is deleted",
        f"Delete it with: aws sagemaker delete-endpoint --endpoint-name {name}",
    )


def describe(aws: Aws, name: str, known: Job | None = None) -> Job | None:
    """DescribeEndpoint, then DescribeEndpointConfig and DescribeModel for the VpcConfig.

    Three calls; two if the configuration has the VpcConfig; one if the endpoint still has the
    configuration of `known`, or has ended.
    """
    answer = _calls.describe_if_there(aws, *describe_call(name))
    if answer is None:
        return None
    line, config = _line(answer), str(answer.get("EndpointConfigName", ""))
    if known and known.vpc_source == config:
        return _read(answer, line, known.subnets)
    unneeded = line.phase in {"ended", "failed"} or not config
    return _read(answer, line, () if unneeded else _subnets(aws, config))


def recent(aws: Aws, contains: str = "", *, live: bool = False) -> list[Summary]:
    """ListEndpoints: one call."""
    status = "InService" if live else ""
    return _calls.list_page(
        aws, "ListEndpoints", "Endpoints", _line, contains=contains, status=status
    )


def streams(job: Job, node: str) -> Streams:
    """`<variant>/<instance-id>`, in the endpoint's own group."""
    return Streams(job.log_group, "", _PATTERN, node, job.nodes)


def vpc_config(aws: Aws, job: Job) -> Mapping[str, Any]:
    """DescribeEndpointConfig, and DescribeModel where the configuration has no VpcConfig."""
    answer = aws.call("sagemaker", "DescribeEndpointConfig", EndpointConfigName=job.vpc_source)
    if config := answer.get("VpcConfig"):
        return dict(config)
    return _calls.vpc_config_of_model(aws, _first_model(answer))


def _subnets(aws: Aws, config: str) -> tuple[str, ...]:
    """The subnets of the configuration, else of the model of its first variant with one."""
    try:
        answer = aws.call("sagemaker", "DescribeEndpointConfig", EndpointConfigName=config)
    except ServiceError as error:
        raise error.as_failure() from None
    if own := _calls.subnets_of(answer.get("VpcConfig")):
        return own
    model = _first_model(answer)
    return _calls.subnets_of_model(aws, model) if model else ()


def _first_model(answer: Mapping[str, Any]) -> str:
    """The model of the configuration's first variant that has one; empty if none has."""
    names = (str(item.get("ModelName", "")) for item in answer.get("ProductionVariants", []))
    return next(filter(None, names), "")


def _line(item: Mapping[str, Any]) -> Summary:
    status = str(item.get("EndpointStatus", ""))
    return Summary(
        name=str(item["EndpointName"]),
        kind="endpoint",
        status=status,
        phase=_PHASES.get(status, "starting"),
        created=first_time(item.get("CreationTime")),
        failure_reason=str(item.get("FailureReason", "")),
    )


def _read(answer: Mapping[str, Any], line: Summary, subnets: tuple[str, ...]) -> Job:
    variants = answer.get("ProductionVariants", [])
    return Job(
        name=line.name,
        kind=line.kind,
        status=line.status,
        phase=line.phase,
        created=line.created,
        failure_reason=line.failure_reason,
        noun=NOUN,
        log_group=_GROUP + line.name,
        status_since=first_time(answer.get("LastModifiedTime"), line.created),
        progress=line.status,
        subnets=subnets,
        vpc_source=str(answer.get("EndpointConfigName", "")),
        # No instance exists during creation, and a serverless variant has no count.
        nodes=max(1, sum(int(item.get("CurrentInstanceCount", 0)) for item in variants)),
        console=console_url.link(str(answer.get("EndpointArn", "")), "endpoints", line.name),
    )
