"""Compares a stack's resources with what their services now have."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from sm_proxy_lab.aws.cloudformation.engine import is_gone
from sm_proxy_lab.aws.cloudformation.parameters import invalid
from sm_proxy_lab.aws.cloudformation.resource_type import GoneError
from sm_proxy_lab.aws.cloudformation.stacks import Resource, Stack, Stacks, now

if TYPE_CHECKING:
    from sm_proxy_lab.aws.cloudformation.describe import Operation
    from sm_proxy_lab.aws.cloudformation.engine import Worker
    from sm_proxy_lab.aws.http.call import Call


class Drift:
    """Drift detection; it has ended when DetectStackDrift answers."""

    def __init__(self, stacks: Stacks, worker: Callable[[Call, Stack], Worker]) -> None:
        self._stacks = stacks
        self._worker = worker
        self._detections: dict[str, dict[str, Any]] = {}
        self._found: dict[str, list[dict[str, Any]]] = {}
        self.operations: dict[str, Operation] = {
            "DetectStackDrift": self._detect,
            "DescribeStackDriftDetectionStatus": self._status,
            "DescribeStackResourceDrifts": self._drifts,
        }

    def _detect(self, call: Call, request: dict[str, Any]) -> Mapping[str, Any]:
        stack = self._find(call, request)
        if stack.busy:
            words = f"Drift detection is not supported for stack [{stack.id}] in state"
            raise invalid(f"{words} [{stack.status}].")
        worker = self._worker(call, stack)
        found: list[dict[str, Any]] = []
        failed: dict[str, str] = {}
        for item in stack.resources.values():
            try:
                line = _line(worker, item)
            except ClientError as error:
                failed[item.name] = str(error.response["Error"].get("Message"))
                continue
            if line is not None:
                found.append(line)
        count = sum(line["StackResourceDriftStatus"] != "IN_SYNC" for line in found)
        status, when = "DRIFTED" if count else "IN_SYNC", now()
        stack.drift = {"StackDriftStatus": status, "LastCheckTimestamp": when}
        detection = str(uuid.uuid4())
        self._found[stack.id] = found
        self._detections[detection] = {
            "StackId": stack.id,
            "StackDriftDetectionId": detection,
            "StackDriftStatus": status,
            "DetectionStatus": "DETECTION_FAILED" if failed else "DETECTION_COMPLETE",
            "DriftedStackResourceCount": count,
            "Timestamp": when,
        }
        if failed:  # the words are a guess
            words = f"Failed to detect drift on resource [{', '.join(failed)}]"
            why = "; ".join(dict.fromkeys(failed.values()))
            self._detections[detection]["DetectionStatusReason"] = f"{words}: {why}"
        return {"StackDriftDetectionId": detection}

    def _status(self, _call: Call, request: dict[str, Any]) -> Mapping[str, Any]:
        detection = str(request.get("StackDriftDetectionId", ""))
        if detection not in self._detections:
            raise invalid(f"Drift detection {detection} does not exist")
        return self._detections[detection]

    def _drifts(self, call: Call, request: dict[str, Any]) -> Mapping[str, Any]:
        stack = self._find(call, request)
        wanted = set(request.get("StackResourceDriftStatusFilters", ()))
        return {
            "StackResourceDrifts": [
                line
                for line in self._found.get(stack.id, [])
                if not wanted or line["StackResourceDriftStatus"] in wanted
            ]
        }

    def _find(self, call: Call, request: Mapping[str, Any]) -> Stack:
        name = str(request.get("StackName", ""))
        stack = self._stacks.find(call.region, name)
        if stack is None or stack.status == "DELETE_COMPLETE":
            raise invalid(f"Stack [{name}] does not exist")
        return stack


def _line(worker: Worker, item: Resource) -> dict[str, Any] | None:
    """A resource's row; None if the drift of its type is not detected.

    Raises:
        botocore.exceptions.ClientError: The caller may not see it.
    """
    if item.made is None:
        return None
    line: dict[str, Any] = {
        "StackId": worker.stack.id,
        "LogicalResourceId": item.name,
        "PhysicalResourceId": item.id,
        "ResourceType": item.type,
        "Timestamp": now(),
    }
    kind = worker.types[item.type]
    try:
        actual = kind.read(worker.context(item.name), item.made, item.properties)
    except (ClientError, GoneError) as error:
        if not is_gone(error):
            raise
        item.drift = "DELETED"
        return line | {"StackResourceDriftStatus": "DELETED"}
    if actual is None:
        return None
    expected = {name: item.properties[name] for name in actual if name in item.properties}
    actual = {name: actual[name] for name in expected}
    differences = [
        {
            "PropertyPath": f"/{name}",
            "ExpectedValue": _text(expected[name]),
            "ActualValue": _text(actual[name]),
            "DifferenceType": "NOT_EQUAL",
        }
        for name in expected
        if _plain(expected[name]) != _plain(actual[name])
    ]
    item.drift = "MODIFIED" if differences else "IN_SYNC"
    return line | {
        "ExpectedProperties": json.dumps(expected),
        "ActualProperties": json.dumps(actual),
        "PropertyDifferences": differences,
        "StackResourceDriftStatus": item.drift,
    }


def _plain(value: Any) -> Any:
    """A value as it is compared: templates write numbers and flags as text, too."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return str(value).lower() if isinstance(value, bool) else str(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
