"""Who uses the network of a stack: running jobs, and other network interfaces in its subnets.

A subnet or a security group cannot be deleted while a network interface is in it, and
CloudFormation finds that out after half an hour. So we look first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sm_proxy.aws import asking
from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError, printable
from sm_proxy.jobs import kinds, listing
from sm_proxy.jobs.job import Job, Summary
from sm_proxy.local import threads

_AT_ONCE: Final = 8
_ALIVE: Final = ("running", "starting")
_OF_AWS: Final = frozenset({"nat_gateway", "vpc_endpoint", "gateway_load_balancer_endpoint"})
"""InterfaceTypes of the stack's own resources in its subnets."""
_SAGEMAKER: Final = ("sagemaker", "[Do not delete]")
_SHOWN: Final = 4
_FILTER_LIMIT: Final = 200
"""The most values in one filter of DescribeNetworkInterfaces."""


@dataclass(frozen=True)
class Interface:
    """A network interface that the stack's deletion would wait for.

    Attributes:
        id: `eni-...`
        words: what it says about its owner.
        of_sagemaker: whether it is SageMaker's: it goes some minutes after its job has ended.
    """

    id: str
    words: str
    of_sagemaker: bool


def jobs(aws: Aws, subnets: Iterable[str], on_status: Callable[[str], None]) -> tuple[Job, ...]:
    """The jobs that run or start in these subnets, the newest first.

    Raises:
        SmProxyError: listing is denied for all kinds, or a call failed.
    """
    inside = set(subnets)
    if not inside:
        return ()
    listed = [job for job in listing.list_all(aws, on_status, live=True) if job.phase in _ALIVE]

    def described(job: Summary) -> Job | None:
        try:
            return kinds.of(job.kind).describe(aws, job.name)
        except SmProxyError as error:
            if error.code != "access-denied":
                raise
            return None

    found = threads.map_concurrently(described, listed, _AT_ONCE)
    mine = [job for job in found if job is not None and not job.over and inside & {*job.subnets}]
    return tuple(sorted(mine, key=lambda job: job.created, reverse=True))


def interfaces(
    aws: Aws, subnets: Sequence[str], groups: Sequence[str], own: Iterable[str]
) -> tuple[Interface, ...]:
    """Network interfaces in these subnets, or with these groups, that are not the stack's own.

    Args:
        aws: for the calls.
        subnets: that the deletion removes; none in an existing VPC.
        groups: the stack's security groups.
        own: ids of the bastion's instances.

    Raises:
        SmProxyError: as `Aws.call`; `aws-error`.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for name, values in (("subnet-id", subnets), ("group-id", groups)):
        if values:
            found.update((item["NetworkInterfaceId"], item) for item in _listed(aws, name, values))
    bastions = set(own)
    return tuple(
        Interface(name, _words(item), _is_sagemakers(item))
        for name, item in sorted(found.items())
        if item.get("InterfaceType") not in _OF_AWS
        and (item.get("Attachment") or {}).get("InstanceId") not in bastions
    )


def refusal(
    stack: str, running: Sequence[Job], others: Sequence[Interface], prefix: str, again: str
) -> SmProxyError | None:
    """The error if the network is in use: `in-use`; else None.

    Args:
        stack: the stack's name.
        running: the jobs in its subnets.
        others: network interfaces there, the jobs' among them.
        prefix: of host names, for the command that ends a job.
        again: the command that deletes the stack.
    """
    if running:
        named = ", ".join(f"{job.noun} {job.name} ({job.status})" for job in running[:_SHOWN])
        more = f" and {len(running) - _SHOWN} more" if len(running) > _SHOWN else ""
        first = f"`sm-proxy stop {prefix}{running[0].name}`"
        return SmProxyError(
            "in-use",
            f"jobs run in the subnets of the stack {stack}: {named}{more}",
            f"Wait for their end, or end them, as with {first}; a few minutes later, run"
            f" `{again}` again.",
        )
    if not others:
        return None
    named = ", ".join(f"{item.id} ({item.words})" for item in others[:_SHOWN])
    more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
    hint = (
        "SageMaker removes them some minutes after the job, space or notebook has ended: try again"
        " then."
        if all(item.of_sagemaker for item in others)
        else f"Remove what they belong to, then run `{again}` again."
    )
    return SmProxyError(
        "in-use", f"network interfaces are in the network of the stack {stack}: {named}{more}", hint
    )


def _listed(aws: Aws, name: str, values: Sequence[str]) -> list[dict[str, Any]]:
    filters = [{"Name": name, "Values": list(values[:_FILTER_LIMIT])}]
    pages = asking.pages(aws, "ec2", "DescribeNetworkInterfaces", Filters=filters)
    return [item for page in pages for item in page.get("NetworkInterfaces", [])]


def _words(item: Mapping[str, Any]) -> str:
    instance = (item.get("Attachment") or {}).get("InstanceId")
    description = printable(str(item.get("Description") or ""), 80)
    return f"of {instance}" if instance else description or str(item.get("InterfaceType", ""))


def _is_sagemakers(item: Mapping[str, Any]) -> bool:
    said = f"{item.get('Description') or ''} {item.get('RequesterId') or ''}"
    return any(word.lower() in said.lower() for word in _SAGEMAKER)
