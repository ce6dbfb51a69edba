from __future__ import annotations

from typing import Any

import pytest

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.infra import repositories
from sm_proxy.infra.repositories import Repository
from tests.fakes import FakeAws

DENIED = SmProxyError("access-denied", "no")


def repository(name: str) -> dict[str, Any]:
    return {"repositoryName": name, "repositoryArn": f"arn:{name}"}


def tags(resourceArn: str) -> dict[str, Any]:  # noqa: N803 - the API's name
    ours = [{"Key": "sm-proxy:role", "Value": "image"}]
    if resourceArn.endswith("-b"):
        ours += [{"Key": "sm-proxy:stack", "Value": "second"}]
    return {"tags": ours if "ours" in resourceArn else [{"Key": "team", "Value": "x"}]}


def test_only_repositories_with_our_tag_are_found_with_their_size() -> None:
    aws = FakeAws(
        DescribeRepositories=[
            {"repositories": [repository("theirs")], "nextToken": "2"},
            {"repositories": [repository("ours-b"), repository("ours-a")]},
        ],
        ListTagsForResource=tags,
        DescribeImages={"imageDetails": [{"imageSizeInBytes": 5}, {"imageSizeInBytes": 6}]},
    )
    expected = (Repository("ours-a", 2, 11), Repository("ours-b", 2, 11, "second"))
    assert repositories.with_our_tag(aws) == expected


def test_without_permission_to_list_there_are_none() -> None:
    assert repositories.with_our_tag(FakeAws(DescribeRepositories=DENIED)) == ()
    aws = FakeAws(
        DescribeRepositories={"repositories": [repository("ours")]}, ListTagsForResource=DENIED
    )
    assert repositories.with_our_tag(aws) == ()


def test_a_repository_is_deleted_with_its_images() -> None:
    aws = FakeAws(DeleteRepository={})
    repositories.delete(aws, "a")
    assert aws.calls == [("DeleteRepository", {"repositoryName": "a", "force": True})]
    gone = ServiceError("RepositoryNotFoundException", "no", "ecr:DeleteRepository")
    repositories.delete(FakeAws(DeleteRepository=gone), "a")
    broken = ServiceError("ServerException", "no", "ecr:DeleteRepository")
    with pytest.raises(SmProxyError, match="ServerException"):
        repositories.delete(FakeAws(DeleteRepository=broken), "a")
