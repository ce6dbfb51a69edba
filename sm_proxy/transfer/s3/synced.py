"""Which folders of a job SageMaker copies to S3 while the job runs, and to where.

A training job's checkpoint folder is CheckpointConfig.LocalPath; SageMaker copies it to
CheckpointConfig.S3Uri (Amazon SageMaker Developer Guide, "Checkpoints in Amazon SageMaker AI"). A
processing job's output is copied while the job runs if its S3UploadMode is Continuous (API
reference, ProcessingS3Output).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.aws.job_kinds import Kind
from sm_proxy.jobs import kinds

_DEFAULT_FOLDER: Final = "/opt/ml/checkpoints"
_URL: Final = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?", re.DOTALL)


@dataclass(frozen=True)
class Folder:
    """A folder of a container that SageMaker copies to S3.

    Attributes:
        path: in the container, absolute, without a last slash.
        bucket: where its copy is.
        prefix: of its objects, with a last slash unless it is empty.
        nodes: how many containers write to that prefix. Files of the same name overwrite each
            other there.
    """

    path: str
    bucket: str
    prefix: str
    nodes: int

    @property
    def url(self) -> str:
        """Where its copy is: `s3://bucket/prefix`."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def key_of(self, path: str) -> str | None:
        """The object's key for a file in the container; None if it is in another folder."""
        if ".." in path.split("/"):  # a link may be before it
            return None
        path = posixpath.normpath(path)
        below = f"{self.path}/"
        return f"{self.prefix}{path[len(below) :]}" if path.startswith(below) else None


def folders(aws: Aws, kind: Kind, job: str) -> tuple[Folder, ...]:
    """The folders of a job that SageMaker copies to S3; none for kinds without such folders.

    Args:
        aws: for one Describe call.
        kind: of the job.
        job: its name.

    Raises:
        SmProxyError: the call failed.
    """
    if kind not in {"training", "processing"}:
        return ()
    operation, parameters = kinds.of(kind).describe_call(job)
    try:
        answer = aws.call("sagemaker", operation, **parameters)
    except ServiceError as error:
        raise error.as_failure() from None
    return tuple(_of_processing(answer) if kind == "processing" else _of_training(answer))


def containing(folders_: Sequence[Folder], path: str) -> tuple[Folder, str] | None:
    """The folder that a file is in, and the key of its copy; None if it has no copy."""
    for folder in folders_:
        if (key := folder.key_of(path)) is not None:
            return folder, key
    return None


def split(url: str) -> tuple[str, str] | None:
    """Bucket and prefix of an address in S3, the prefix with a last slash unless it is empty."""
    found = _URL.fullmatch(url)
    if found is None:
        return None
    prefix = (found[2] or "").strip("/")
    return found[1], f"{prefix}/" if prefix else ""


def _of_training(answer: Mapping[str, Any]) -> Iterator[Folder]:
    config = answer.get("CheckpointConfig") or {}
    resources = answer.get("ResourceConfig") or {}
    groups = resources.get("InstanceGroups") or [resources]
    nodes = sum(int(group.get("InstanceCount", 1)) for group in groups)
    yield from _folder(config.get("LocalPath") or _DEFAULT_FOLDER, config.get("S3Uri"), nodes)


def _of_processing(answer: Mapping[str, Any]) -> Iterator[Folder]:
    cluster = answer.get("ProcessingResources", {}).get("ClusterConfig", {})
    nodes = int(cluster.get("InstanceCount", 1))
    for output in answer.get("ProcessingOutputConfig", {}).get("Outputs", ()):
        place = output.get("S3Output") or {}
        if place.get("S3UploadMode") == "Continuous":
            yield from _folder(str(place.get("LocalPath", "")), place.get("S3Uri"), nodes)


def _folder(path: str, url: object, nodes: int) -> Iterator[Folder]:
    found = split(str(url or ""))
    if found is not None and path.startswith("/") and path.strip("/"):
        yield Folder(posixpath.normpath(path), *found, nodes)
