"""From a job that the service describes to the request that creates it again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from botocore.model import ListShape, MapShape, Shape, StructureShape
from botocore.session import Session

Operation = Literal["CreateTrainingJob", "CreateProcessingJob"]

RELAUNCHED_FROM: Final = "sm-proxy:relaunched-from"
"""The tag that names the job which a new one repeats."""
LEFT_OUT: Final[dict[str, str]] = {
    "DebugRuleConfigurations": "each rule starts a job that is billed",
    "ExperimentConfig": "the new run would mix with the old one in its trial",
    "ModelPackageConfig": "the new run would register a version of the model",
    "ProfilerRuleConfigurations": "each rule starts a job that is billed",
    "ResourceConfig.SelectedInstanceCount": "the service sets it",
    "ResourceConfig.SelectedInstanceType": "the service sets it",
    "ProcessingResources.ClusterConfig.SelectedInstanceCount": "the service sets it",
    "ProcessingResources.ClusterConfig.SelectedInstanceType": "the service sets it",
}
"""Members of the request that are not copied, and why. Describe has all others unchanged."""
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


def name_member(operation: Operation) -> str:
    """The member with the job's name: `TrainingJobName` for CreateTrainingJob."""
    return f"{operation.removeprefix('Create')}Name"


def request_from(
    operation: Operation,
    description: Mapping[str, Any],
    tags: Sequence[Mapping[str, str]],
    shape: StructureShape,
    *,
    name: str | None = None,
) -> dict[str, Any]:
    """The request that creates a described job again. It shares nothing with `description`.

    Every member of the request's shape is copied except those of `LEFT_OUT`: Describe returns them
    in the same shape. Other members of a description only report. Tags come from ListTags.
    `SessionChainingConfig` is lost, as no operation returns it.

    Args:
        operation: that creates such a job.
        description: what Describe returns.
        tags: what ListTags returns.
        shape: of the request, see `request_shape`.
        name: of the new job; None for the same one.
    """
    old = str(description[name_member(operation)])
    request: dict[str, Any] = _fitting(description, shape, "")
    request[name_member(operation)] = name or old
    _rename_parameter(request, old, name or old)
    resources = request.get("ResourceConfig", {})
    if resources.get("InstanceGroups"):  # a request must not have both
        resources.pop("InstanceType", None)
        resources.pop("InstanceCount", None)
    request["Tags"] = _tags(tags, old)
    return request


def _fitting(value: Any, shape: Shape, path: str) -> Any:
    """A copy of `value` without what a request of this shape cannot have."""
    if isinstance(shape, StructureShape):
        found = {}
        for name, member in shape.members.items():
            inner = f"{path}.{name}" if path else name
            if name in value and inner not in LEFT_OUT and not _is_void(value[name], member):
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


def _rename_parameter(request: dict[str, Any], old: str, new: str) -> None:
    parameters = request.get("HyperParameters", {})
    if parameters.get(_NAME_PARAMETER) == old:
        parameters[_NAME_PARAMETER] = new
    elif parameters.get(_NAME_PARAMETER) == json.dumps(old):
        parameters[_NAME_PARAMETER] = json.dumps(new)


def _tags(tags: Sequence[Mapping[str, str]], old: str) -> list[dict[str, str]]:
    kept = [
        {"Key": tag["Key"], "Value": tag["Value"]}
        for tag in tags
        if not tag["Key"].startswith(_OF_AWS) and tag["Key"] != RELAUNCHED_FROM
    ]
    return [*kept[: _TAGS_LIMIT - 1], {"Key": RELAUNCHED_FROM, "Value": old}]
