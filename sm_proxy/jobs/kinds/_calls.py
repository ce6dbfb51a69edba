"""Calls and parts of responses that several kinds share."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs.job import Phase, Summary
from sm_proxy.jobs.log_streams import INSTANCE, Streams

PAGE: Final = 100
"""MaxResults of a List call."""
_ABSENT: Final = frozenset({"ValidationException", "ResourceNotFound"})


class UnseenError(SmProxyError):
    """Describe is denied: the job's existence is unknown."""


def describe_if_there(
    aws: Aws, operation: str, parameters: Mapping[str, str]
) -> dict[str, Any] | None:
    """The response of a Describe call; None if the job does not exist.

    Raises:
        UnseenError: the call is denied.
        SmProxyError: the call failed otherwise.
    """
    try:
        return aws.call("sagemaker", operation, **parameters)
    except ServiceError as error:
        if error.error in _ABSENT:
            return None
        raise error.as_failure() from None
    except SmProxyError as error:
        if error.code == "access-denied":
            raise UnseenError(error.code, error.message, error.hint) from None
        raise


def list_page(
    aws: Aws,
    operation: str,
    member: str,
    read: Callable[[Mapping[str, Any]], Summary],
    *,
    contains: str = "",
    status: str = "",
    order: str = "CreationTime",
) -> list[Summary]:
    """One page of a kind's jobs, the newest first.

    Args:
        aws: for the call.
        operation: lists the kind.
        member: of the response, with the list.
        read: makes a summary of an item.
        contains: only names with this part.
        status: only with this status.
        order: the operation's word for an order by creation time.

    Raises:
        SmProxyError: the call failed.
    """
    filters = {"NameContains": contains, "StatusEquals": status}
    try:
        answer = aws.call(
            "sagemaker",
            operation,
            SortBy=order,
            SortOrder="Descending",
            MaxResults=PAGE,
            **{name: value for name, value in filters.items() if value},
        )
    except ServiceError as error:
        raise error.as_failure() from None
    return [read(item) for item in answer.get(member, [])]


def subnets_of(config: Mapping[str, Any] | None) -> tuple[str, ...]:
    """The subnets of a VpcConfig; empty without one."""
    return tuple(map(str, (config or {}).get("Subnets", ())))


def subnets_of_model(aws: Aws, model: str) -> tuple[str, ...]:
    """The subnets that containers of a model run in: DescribeModel.

    Raises:
        SmProxyError: `no-vpc` if the model is gone, or the call failed.
    """
    try:
        answer = aws.call("sagemaker", "DescribeModel", ModelName=model)
    except ServiceError as error:
        if error.error not in _ABSENT:
            raise error.as_failure() from None
        raise SmProxyError(
            "no-vpc",
            f"the model {model} is gone, so the job's subnets are unknown: {error.message}",
            "Create the model again under the same name.",
        ) from None
    return subnets_of(answer.get("VpcConfig"))


def vpc_config_of_model(aws: Aws, model: str) -> Mapping[str, Any]:
    """The VpcConfig of a model, empty if it has none: DescribeModel.

    Raises:
        ServiceError: the service refused the call.
        SmProxyError: the call failed otherwise.
    """
    return dict(aws.call("sagemaker", "DescribeModel", ModelName=model).get("VpcConfig") or {})


def batch_phase(status: str, *, started: bool) -> Phase:
    """The phase of a processing or transform job, which has no SecondaryStatus."""
    if status == "Failed":
        return "failed"
    if status != "InProgress":
        return "ended"
    return "running" if started else "starting"


def streams_of_named_nodes(group: str, job: str, node: str) -> Streams:
    """The streams of a kind whose containers call themselves algo-n."""
    pattern = rf"{re.escape(job)}/(?P<node>{re.escape(node)})-[0-9]+"
    return Streams(group, f"{job}/{node}-", re.compile(pattern), node)


def streams_of_instances(group: str, job: str, node: str, count: int) -> Streams:
    """The streams of a kind whose containers have instance ids."""
    pattern = rf"{re.escape(job)}/(?P<node>{INSTANCE})-[0-9]+"
    return Streams(group, f"{job}/", re.compile(pattern), node, max(1, count))
