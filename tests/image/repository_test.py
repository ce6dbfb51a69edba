"""The repository exists before the build, and the user hears what would stop the push."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.image import names, repository
from tests.fakes import FakeAws
from tests.image.account import HOST, PROJECT, REPOSITORY, ROLE, account

ABSENT = ServiceError("RepositoryNotFoundException", "none", "ecr:DescribeRepositories")
THERE = ServiceError("RepositoryAlreadyExistsException", "one", "ecr:CreateRepository")
DENIED = SmProxyError("access-denied", "denied", "Allow it.")


def ensured(aws: FakeAws, name: str = "byoc:1") -> tuple[str, list[str]]:
    told: list[str] = []
    return repository.ensure(aws, names.parse(name), PROJECT, told.append), told


def test_an_existing_repository_is_used() -> None:
    aws = account()
    assert ensured(aws) == (f"{HOST}/byoc", [])
    assert aws.operations() == ["DescribeRepositories", "ListTagsForResource"]
    assert ensured(account(), f"{HOST}/byoc:1") == (f"{HOST}/byoc", [])


def test_a_missing_repository_is_created_with_our_tag() -> None:
    aws = account(DescribeRepositories=ABSENT, CreateRepository={"repository": REPOSITORY})
    uri, told = ensured(aws)
    assert uri == f"{HOST}/byoc"
    assert len(told) == 1
    assert aws.calls[-1] == (
        "CreateRepository",
        {
            "repositoryName": "byoc",
            "tags": [{"Key": "sm-proxy:role", "Value": "image"}],
            "imageScanningConfiguration": {"scanOnPush": True},
        },
    )
    repository.ensure(aws, names.parse("byoc:1"), PROJECT, told.append, "second")
    given: Any = aws.calls[-1][1]
    assert given["tags"][1:] == [{"Key": "sm-proxy:stack", "Value": "second"}]


def test_a_repository_that_another_run_creates_meanwhile_is_used() -> None:
    found = {"repositories": [REPOSITORY]}
    aws = account(DescribeRepositories=[ABSENT, found], CreateRepository=THERE)
    assert ensured(aws) == (f"{HOST}/byoc", [])


def test_another_failure_is_reported() -> None:
    full = ServiceError("LimitExceededException", "too many", "ecr:CreateRepository")
    with pytest.raises(SmProxyError, match="too many"):
        ensured(account(DescribeRepositories=ABSENT, CreateRepository=full))


def test_a_repository_without_our_tag_is_reported_with_the_command() -> None:
    (line,) = ensured(account(ListTagsForResource={"tags": []}))[1]
    assert ROLE in line
    assert "aws ecr tag-resource --region eu-west-1 --resource-arn arn:aws:ecr:" in line
    assert "--tags Key=sm-proxy:role,Value=image" in line
    assert ensured(account(ListTagsForResource=DENIED))[1] == []


def test_a_tag_that_cannot_change_is_refused_before_the_build() -> None:
    fixed = {"repositories": [{**REPOSITORY, "imageTagMutability": "IMMUTABLE"}]}
    with pytest.raises(SmProxyError, match="immutable") as caught:
        ensured(account(DescribeRepositories=fixed))
    assert caught.value.hint == "Choose another tag."
    free = ServiceError("ImageNotFoundException", "none", "ecr:DescribeImages")
    assert ensured(account(DescribeRepositories=fixed, DescribeImages=free))[0]


@pytest.mark.parametrize("change", [{"account": "999999999999"}, {"region": "us-east-1"}])
def test_another_account_or_region_is_refused(change: dict[str, str]) -> None:
    project = dataclasses.replace(PROJECT, **change)
    aws = account()
    with pytest.raises(SmProxyError) as caught:
        repository.ensure(aws, names.parse(f"{HOST}/byoc:1"), project, print)
    assert caught.value.code == "usage"
    assert aws.calls == []
