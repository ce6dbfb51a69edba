"""On which instances a repeated job runs: another type, or as small as its family allows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from botocore.model import StructureShape

from sm_proxy.launch import shapes
from sm_proxy.launch.changes import Draft, Path, value_at
from sm_proxy.launch.shapes import Operation

SMALLER_RUN_S: Final = 60 * 60
"""How long the program of a smaller job may run, in seconds."""
TYPE: Final = re.compile(r"(ml\.[a-z0-9-]+)\.([a-z0-9]+)")
_SIZES: Final = ("medium", "large", "xlarge")
_LONGEST: Final[Path] = ("StoppingCondition", "MaxRuntimeInSeconds")
_OTHER_TYPE: Final = "it holds for the old instance type"
_DISTRIBUTED: Final = re.compile(
    r"sagemaker_(mpi_|torch_distributed_|distributed_|instance_type)\w*"
)
"""Hyperparameters by which the SageMaker SDK starts one program on several nodes."""


def set_type(draft: Draft, operation: Operation, instance_type: str) -> None:
    """Run on another type of instance; their number stays."""
    path = shapes.of(operation).RESOURCES
    groups = draft.get((*path, "InstanceGroups")) or []
    why = "you named another instance type"
    for number in range(len(groups)):
        draft.set((*path, "InstanceGroups", number, "InstanceType"), instance_type, why)
    if not groups:
        count = _count(draft.get(path))
        draft.set((*path, "InstancePreferences"), None, why)
        draft.set((*path, "InstanceType"), instance_type, why)
        draft.set((*path, "InstanceCount"), count, why)
    _drop_reservations(draft, path)


def shrink(draft: Draft, operation: Operation, shape: StructureShape) -> None:
    """One node of the family's smallest type that the request permits, for an hour.

    Args:
        draft: the new request.
        operation: of the request.
        shape: of the request, in which botocore lists the permitted types.
    """
    path = shapes.of(operation).RESOURCES
    permitted = _permitted(shape, path)
    groups = draft.get((*path, "InstanceGroups")) or []
    why = "--smaller: one node of the smallest type of its family"
    if groups:
        _keep_one_group(draft, path, groups[0], permitted, why)
    else:
        old = type_of(draft.get(path))
        draft.set((*path, "InstancePreferences"), None, why)
        draft.set((*path, "InstanceType"), smallest(old, permitted), why)
        draft.set((*path, "InstanceCount"), 1, why)
    _drop_reservations(draft, path)
    longest = draft.get(_LONGEST)
    if longest is None or longest > SMALLER_RUN_S:
        draft.set(_LONGEST, SMALLER_RUN_S, "--smaller: the program may run for an hour")


def smallest(instance_type: str, permitted: Iterable[str]) -> str:
    """The smallest permitted type of the family; the type itself if its family is unknown."""
    family = instance_type.rpartition(".")[0]
    same = [name for name in permitted if name.rpartition(".")[0] == family]
    return min(same, key=_order, default=instance_type)


def type_of(resources: Mapping[str, Any] | None) -> str:
    """The instance type of a request's resources, or the one that the service tries first."""
    resources = resources or {}
    return str(resources.get("InstanceType") or _first(resources).get("InstanceType", ""))


def nodes(request: Mapping[str, Any], operation: Operation) -> int:
    """How many instances a request asks for."""
    resources = value_at(request, shapes.of(operation).RESOURCES) or {}
    groups = resources.get("InstanceGroups") or [{"InstanceCount": _count(resources)}]
    return sum(int(group.get("InstanceCount") or 1) for group in groups)


def needs_several_nodes(request: Mapping[str, Any]) -> list[str]:
    """The hyperparameters that tell how the program is spread over nodes and GPUs."""
    return sorted(filter(_DISTRIBUTED.fullmatch, request.get("HyperParameters") or {}))


def _keep_one_group(
    draft: Draft, path: Path, group: Mapping[str, Any], permitted: Iterable[str], why: str
) -> None:
    name = group["InstanceGroupName"]
    one = {
        "InstanceGroupName": name,
        "InstanceType": smallest(group["InstanceType"], permitted),
        "InstanceCount": 1,
    }
    draft.set((*path, "InstanceGroups"), [one], why)
    for number in range(len(draft.get(("InputDataConfig",)) or ())):
        names = ("InputDataConfig", number, "DataSource", "S3DataSource", "InstanceGroupNames")
        if draft.get(names):
            draft.set(names, [name], "the one group that is left reads every channel")


def _drop_reservations(draft: Draft, path: Path) -> None:
    for name in ("TrainingPlanArn", "InstancePlacementConfig"):
        draft.set((*path, name), None, _OTHER_TYPE)


def _permitted(shape: StructureShape, path: Path) -> list[str]:
    found: Any = shape
    for name in (*path, "InstanceType"):
        found = found.members[name]
    return list(found.metadata.get("enum", ()))


def _count(resources: Mapping[str, Any] | None) -> int:
    resources = resources or {}
    return int(resources.get("InstanceCount") or _first(resources).get("InstanceCount") or 1)


def _first(resources: Mapping[str, Any]) -> Mapping[str, Any]:
    """The preferred instances of a request that names several."""
    preferences: list[dict[str, Any]] = resources.get("InstancePreferences") or [{}]
    return preferences[0]


def _order(instance_type: str) -> tuple[int, int]:
    size = instance_type.rpartition(".")[2]
    many = re.fullmatch(r"([0-9]+)xlarge", size)
    if many:
        return len(_SIZES), int(many[1])
    return (_SIZES.index(size), 0) if size in _SIZES else (len(_SIZES) + 1, 0)
