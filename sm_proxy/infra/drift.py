"""Drift: changes of a stack's resources that were made without CloudFormation."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from sm_proxy.aws import asking
from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError, printable
from sm_proxy.local import waits
from sm_proxy.local.waits import Wait
from sm_proxy.settings.deadline import Deadline

_POLL_S: Final = (1.0, 2.0)
_DRIFTED: Final = ("MODIFIED", "DELETED")
_SHOWN: Final = 200


@dataclass(frozen=True)
class Drift:
    """A resource that differs from the template.

    Attributes:
        logical_id: its name in the template.
        type: its type.
        status: `MODIFIED` or `DELETED`.
        differences: one line for each property: path, expected and actual value.
    """

    logical_id: str
    type: str
    status: str
    differences: tuple[str, ...] = ()

    @property
    def as_data(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "resource": self.logical_id,
            "type": self.type,
            "status": self.status,
            "differences": list(self.differences),
        }


def detect(
    aws: Aws, stack: str, deadline: Deadline, say: Callable[[str], None]
) -> tuple[Drift, ...]:
    """Let CloudFormation compare the resources with the template: it takes up to some minutes.

    Args:
        aws: for the calls.
        stack: the stack's name.
        deadline: when to give up.
        say: takes a line while it waits.

    Raises:
        SmProxyError: `wait-timeout`; `aws-error`; as `Aws.call`.
    """
    started = asking.ask(aws, "cloudformation", "DetectStackDrift", StackName=stack)
    with waits.waiting("asking CloudFormation", deadline.left) as wait:
        state = functools.partial(_state, aws, str(started["StackDriftDetectionId"]))
        _await(state, stack, deadline, wait, say)
    return tuple(_drifted(aws, stack))


def _await(
    state: Callable[[], dict[str, Any]],
    stack: str,
    deadline: Deadline,
    wait: Wait,
    say: Callable[[str], None],
) -> None:
    while True:
        found = state()
        status = found.get("DetectionStatus")
        if status == "DETECTION_COMPLETE":
            return
        if status == "DETECTION_FAILED":
            # What could be compared was compared.
            reason = printable(str(found.get("DetectionStatusReason") or "no reason given"))
            say(f"CloudFormation could not compare every resource: {reason}")
            return
        wait.tell(f"CloudFormation compares the resources of {stack} with its template", say)
        if deadline.left <= 0:
            raise deadline.passed(
                f"CloudFormation is still comparing the resources of {stack}",
                "Give it more time: sm-proxy infra status --drift --timeout 10m",
            )
        deadline.sleep(_POLL_S)


def _state(aws: Aws, detection: str) -> dict[str, Any]:
    """How far CloudFormation is; empty if it does not answer just now."""
    try:
        return asking.ask(
            aws,
            "cloudformation",
            "DescribeStackDriftDetectionStatus",
            StackDriftDetectionId=detection,
        )
    except SmProxyError as error:
        if not error.passing:
            raise
        return {}


def _drifted(aws: Aws, stack: str) -> Iterator[Drift]:
    pages = asking.pages(
        aws,
        "cloudformation",
        "DescribeStackResourceDrifts",
        StackName=stack,
        StackResourceDriftStatusFilters=list(_DRIFTED),
    )
    for page in pages:
        yield from map(_parsed, page.get("StackResourceDrifts", []))


def _parsed(item: dict[str, Any]) -> Drift:
    return Drift(
        printable(str(item["LogicalResourceId"])),
        printable(str(item["ResourceType"])),
        str(item["StackResourceDriftStatus"]),
        tuple(
            f"{_short(one['PropertyPath'])} is {_short(one.get('ActualValue'))},"
            f" not {_short(one.get('ExpectedValue'))}"
            for one in item.get("PropertyDifferences") or []
        ),
    )


def _short(value: object) -> str:
    return printable(str(value), _SHOWN)
