"""The ECR repositories that `image build` has made, which a stack's deletion keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sm_proxy.aws import stack_names
from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.local import threads

_AT_ONCE: Final = 8


@dataclass(frozen=True)
class Repository:
    """One repository.

    Attributes:
        name: its name.
        images: how many images it has.
        bytes: their sizes together; ECR stores layers that images share only once.
    """

    name: str
    images: int
    bytes: int


def ours(aws: Aws) -> tuple[Repository, ...]:
    """The repositories with our tag; none if these credentials may not list them.

    Raises:
        SmProxyError: as `Aws.call`, but for permissions.
    """
    found = _pages(aws, "DescribeRepositories", "repositories")
    tagged = threads.map_concurrently(lambda item: _is_ours(aws, item), found, _AT_ONCE)
    names = [item["repositoryName"] for item, is_ours in zip(found, tagged, strict=True) if is_ours]
    return tuple(_measured(aws, name) for name in sorted(names))


def delete(aws: Aws, name: str) -> None:
    """Delete a repository with its images.

    Raises:
        SmProxyError: as `Aws.call`; `aws-error`.
    """
    try:
        aws.call("ecr", "DeleteRepository", repositoryName=name, force=True)
    except ServiceError as error:
        if error.error != "RepositoryNotFoundException":
            raise error.as_failure() from None


def _is_ours(aws: Aws, item: dict[str, Any]) -> bool:
    answer = aws.call_if_allowed("ecr", "ListTagsForResource", resourceArn=item["repositoryArn"])
    return stack_names.IMAGE_TAG in (answer or {}).get("tags", [])


def _measured(aws: Aws, name: str) -> Repository:
    images = _pages(aws, "DescribeImages", "imageDetails", repositoryName=name)
    return Repository(name, len(images), sum(int(i.get("imageSizeInBytes") or 0) for i in images))


def _pages(aws: Aws, operation: str, member: str, **parameters: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    more: dict[str, str] = {}
    while True:
        page = aws.call_if_allowed("ecr", operation, **parameters, **more)
        found += (page or {}).get(member, [])
        if not page or not page.get("nextToken"):
            return found
        more = {"nextToken": page["nextToken"]}
