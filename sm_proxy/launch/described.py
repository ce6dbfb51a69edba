"""From a job that the service describes to the request that creates it again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from botocore.model import ListShape, MapShape, Shape, StructureShape
from botocore.session import Session

from sm_proxy.launch import shapes
from sm_proxy.launch.changes import Change, Draft
from sm_proxy.launch.shapes import Operation

RELAUNCHED_FROM: Final = "sm-proxy:relaunched-from"
"""The tag that names the job which a new one repeats."""
LEFT_OUT: Final[dict[str, str]] = {
    "DebugRuleConfigurations": "each rule starts a job that is billed",
    "ExperimentConfig": "the new run would mix with the old one in its trial",
    "ModelPackageConfig": "the new run would register a version of the model",
    "ProfilerRuleConfigurations": "each rule starts a job that is billed",
}
"""Members of the request that are not copied, and why."""
_SET_BY_THE_SERVICE: Final = frozenset(
    f"{resources}.Selected{what}"
    for resources in ("ResourceConfig", "ProcessingResources.ClusterConfig")
    for what in ("InstanceCount", "InstanceType")
)
"""Parts of the request's shape that only Describe fills. It has all others as they were sent."""
_TAGS_LIMIT: Final = 50
_OF_AWS: Final = "aws:"
"""Tags that begin with this belong to AWS and cannot be set."""
_NAME_PARAMETER: Final = "sagemaker_job_name"
"""Version 2 of the SageMaker SDK tells its training toolkit the job's name in it, as JSON."""


def request_shape(session: Session, operation: Operation) -> StructureShape:
    """The request of an operation, as the installed botocore knows it."""
    shape = session.get_service_model("sagemaker").operation_model(operation).input_shape
    assert shape is not None  # noqa: S101 - for the type checker
    return shape


def request_from(
    description: Mapping[str, Any],
    tags: Sequence[Mapping[str, str]],
    shape: StructureShape,
) -> dict[str, Any]:
    """The request that creates a described job again. It shares nothing with `description`.

    Every member of the request's shape is copied except those of `LEFT_OUT`: Describe returns them
    in the same shape. Other members of a description only report. `SessionChainingConfig` is lost,
    as no operation returns it. `rename` gives the new job its own name.

    Args:
        description: what Describe returns.
        tags: what ListTags returns; those of AWS cannot be set.
        shape: of the request, see `request_shape`.
    """
    request: dict[str, Any] = _fitting(description, shape, "")
    resources = request.get("ResourceConfig", {})
    if resources.get("InstanceGroups"):  # a request must not have both
        resources.pop("InstanceType", None)
        resources.pop("InstanceCount", None)
    if kept := [dict(tag) for tag in tags if not tag["Key"].startswith(_OF_AWS)]:
        request["Tags"] = kept
    return request


def rename(draft: Draft, operation: Operation, name: str) -> None:
    """Give the new job its name, and note in a tag which job it repeats.

    Args:
        draft: of the request, with the old job's name.
        operation: of the request.
        name: of the new job.
    """
    member = (shapes.of(operation).NAME,)
    old = draft.get(member)
    draft.set(member, name, "names are unique")
    parameter = ("HyperParameters", _NAME_PARAMETER)
    for write in (str, json.dumps):
        if draft.get(parameter) == write(old):
            draft.set(parameter, write(name), "the training toolkit learns the name from it")
    tags = [tag for tag in draft.get(("Tags",)) or () if tag["Key"] != RELAUNCHED_FROM]
    ours = {"Key": RELAUNCHED_FROM, "Value": old}
    draft.set(("Tags",), [*tags[: _TAGS_LIMIT - 1], ours], "names the job that this one repeats")


def left_out(description: Mapping[str, Any]) -> list[Change]:
    """The parts of the old job that the new one does not get, with reasons."""
    return [
        Change(path, description[path], None, why)
        for path, why in LEFT_OUT.items()
        if description.get(path)
    ]


def _fitting(value: Any, shape: Shape, path: str) -> Any:
    """A copy of `value` without what a request of this shape cannot have."""
    if isinstance(shape, StructureShape):
        found = {}
        for name, member in shape.members.items():
            inner = f"{path}.{name}" if path else name
            if inner in LEFT_OUT or inner in _SET_BY_THE_SERVICE:
                continue
            if name in value and not _is_void(value[name], member):
                found[name] = _fitting(value[name], member, inner)
        return found
    if isinstance(shape, ListShape):
        return [_fitting(item, shape.member, path) for item in value]
    if isinstance(shape, MapShape):
        return {key: _fitting(item, shape.value, path) for key, item in value.items()}
    return value


def _is_void(value: Any, shape: Shape) -> bool:
    """Whether Describe shows by this value that the member is not set."""
    if value is None:
        return True
    if isinstance(shape, StructureShape):
        return not value and bool(shape.required_members)
    return value in ("", [], {}) and shape.metadata.get("min", 0) > 0
