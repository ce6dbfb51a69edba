"""A job to run again: everything that AWS describes of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from botocore.model import ListShape, MapShape, Shape, StructureShape
from botocore.session import Session

from sm_proxy.aws.errors import ServiceError
from sm_proxy.aws.job_kinds import Kind
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import kinds
from sm_proxy.jobs.job import Job
from sm_proxy.launch import shapes
from sm_proxy.launch.caller import Caller
from sm_proxy.launch.shapes import OPERATIONS, Operation


@dataclass(frozen=True)
class OldJob:
    """A job that is to run again.

    Attributes:
        job: as `lookup.find` found it.
        operation: that creates such a job.
        description: what Describe returns.
        tags: what ListTags returns; none if it is denied.
        lost: what the new job will lack because we cannot read it, in words.
    """

    job: Job
    operation: Operation
    description: Mapping[str, Any]
    tags: tuple[Mapping[str, str], ...]
    lost: tuple[str, ...]


def operation_of(kind: Kind) -> Operation:
    """The operation that creates jobs of a kind.

    Raises:
        SmProxyError: `unsupported` for a kind whose containers can only run what their image does.
    """
    if operation := shapes.creating(kind):
        return operation
    raise SmProxyError(
        "unsupported",
        f"the container of this {kinds.of(kind).NOUN} runs a model's image as it is: it cannot be"
        " relaunched with ssh",
        "Put our entrypoint into that image: sm-proxy container init.",
    )


def read(aws: Caller, job: Job, unread: UnreadMembers) -> OldJob:
    """Describe the job in full, and list its tags.

    Args:
        aws: for the calls.
        job: which one.
        unread: it must have been made before the first call.

    Raises:
        SmProxyError: `unsupported`, or a call failed.
    """
    operation = operation_of(job.kind)
    call, parameters = kinds.of(job.kind).describe_call(job.name)
    try:
        description = dict(aws.call("sagemaker", call, **parameters))
    except ServiceError as error:
        raise error.as_failure() from None
    lost = [f"{name} (this botocore does not know it)" for name in unread.names]
    tags: tuple[Mapping[str, str], ...] = ()
    try:
        tags = tuple(_tags(aws, str(description[f"{operation.removeprefix('Create')}Arn"])))
    except ServiceError as error:
        raise error.as_failure() from None
    except SmProxyError as error:
        if error.code != "access-denied":
            raise
        lost.append("tags (sagemaker:ListTags is denied)")
    return OldJob(job, operation, description, tags, tuple(lost))


class UnreadMembers:
    """Notes what botocore leaves out of a description because its service model is older.

    Args:
        session: its clients are watched from now on.
    """

    def __init__(self, session: Session) -> None:
        self._names: set[str] = set()
        for operation in OPERATIONS:
            describe = operation.replace("Create", "Describe")
            session.register(f"before-parse.sagemaker.{describe}", self._look)

    @property
    def names(self) -> list[str]:
        """Paths of the members that the last descriptions had beyond the model."""
        return sorted(self._names)

    def _look(self, **event: Any) -> None:
        shape, answer = event["operation_model"].output_shape, event["response_dict"]
        if answer["status_code"] >= HTTPStatus.MULTIPLE_CHOICES:
            return
        try:
            body = json.loads(answer["body"])
        except ValueError:
            return  # botocore will say so
        self._names.update(_unknown(body, shape, ""))


_NESTED: Final = (dict, list)


def _unknown(value: Any, shape: Shape, path: str) -> Iterator[str]:
    if not isinstance(value, _NESTED):
        return
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        for name, inner in value.items():
            below = f"{path}.{name}" if path else name
            if name not in shape.members:
                yield below
            else:
                yield from _unknown(inner, shape.members[name], below)
    elif isinstance(shape, ListShape) and isinstance(value, list):
        for item in value:
            yield from _unknown(item, shape.member, path)
    elif isinstance(shape, MapShape) and isinstance(value, dict):
        for item in value.values():
            yield from _unknown(item, shape.value, path)


def _tags(aws: Caller, arn: str) -> Iterator[Mapping[str, str]]:
    more: dict[str, str] = {}
    while True:
        page = aws.call("sagemaker", "ListTags", ResourceArn=arn, **more)
        yield from page.get("Tags", ())
        if not page.get("NextToken"):
            return
        more = {"NextToken": page["NextToken"]}
