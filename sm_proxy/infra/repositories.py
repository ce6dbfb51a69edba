"""The ECR repositories that `image build` uses, which a stack's deletion keeps.

Those that it made for a stack have the stack's tag. Others are the user's, or another stack's.
"""

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
        stack: for which `image build` made it; empty if it did not.
    """

    name: str
    images: int
    bytes: int
    stack: str = ""


def with_our_tag(aws: Aws) -> tuple[Repository, ...]:
    """The repositories with our tag; none if these credentials may not list them.

    Raises:
        SmProxyError: as `Aws.call`, but for permissions.
    """
    found = _pages(aws, "DescribeRepositories", "repositories")
    tags = threads.map_concurrently(lambda item: _tags(aws, item), found, _AT_ONCE)
    role = stack_names.IMAGE_TAG
    stack_of = {
        str(item["repositoryName"]): of_one.get(stack_names.STACK_TAG, "")
        for item, of_one in zip(found, tags, strict=True)
        if of_one.get(role["Key"]) == role["Value"]
    }
    return tuple(_measured(aws, name, stack_of[name]) for name in sorted(stack_of))


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


def _tags(aws: Aws, item: dict[str, Any]) -> dict[str, str]:
    answer = aws.call_if_allowed("ecr", "ListTagsForResource", resourceArn=item["repositoryArn"])
    return {str(tag.get("Key")): str(tag.get("Value")) for tag in (answer or {}).get("tags", [])}


def _measured(aws: Aws, name: str, stack: str) -> Repository:
    images = _pages(aws, "DescribeImages", "imageDetails", repositoryName=name)
    size = sum(int(image.get("imageSizeInBytes") or 0) for image in images)
    return Repository(name, len(images), size, stack)


def _pages(aws: Aws, operation: str, member: str, **parameters: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    more: dict[str, str] = {}
    while True:
        page = aws.call_if_allowed("ecr", operation, **parameters, **more)
        found += (page or {}).get(member, [])
        if not page or not page.get("nextToken"):
            return found
        more = {"nextToken": page["nextToken"]}
