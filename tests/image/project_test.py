"""The project for builds is found, or the user hears how to make it."""

from __future__ import annotations

from typing import Any

import pytest

from sm_proxy.aws import stack_names
from sm_proxy.errors import SmProxyError
from sm_proxy.image import project
from tests.fakes import FakeAws
from tests.image.account import PROJECT, account
from tests.image.account import project as described


def test_a_project_is_found_with_its_bucket_and_role() -> None:
    aws = account()
    assert project.find(aws, stack_names.project("sm-proxy"), stack="sm-proxy") == PROJECT
    assert aws.calls == [("BatchGetProjects", {"names": ["sm-proxy-image"]})]


def test_a_missing_stack_is_named_with_its_command() -> None:
    aws = FakeAws(BatchGetProjects={"projects": [], "projectsNotFound": ["x"]})
    for stack, command in (("sm-proxy", "deploy`"), ("mine", "deploy --stack mine`")):
        with pytest.raises(SmProxyError) as caught:
            project.find(aws, stack_names.project(stack), stack=stack)
        assert caught.value.code == "no-stack"
        assert f"{stack}-image in eu-west-1" in caught.value.message
        assert command in caught.value.hint
    with pytest.raises(SmProxyError, match="no CodeBuild project own") as caught:
        project.find(aws, "own", stack=None)
    assert caught.value.code == "bad-setting"


SECRET = {"name": "SM_PROXY_BUCKET", "value": "/x/bucket", "type": "PARAMETER_STORE"}


def environment(**changes: Any) -> dict[str, Any]:
    return {"environment": {"privilegedMode": True, "environmentVariables": [], **changes}}


def test_the_bucket_of_the_source_is_taken_if_no_variable_names_one() -> None:
    aws = account(BatchGetProjects={"projects": [described(**environment())]})
    assert project.find(aws, "own", stack=None).bucket == "placeholder"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (environment(privilegedMode=False), "not privileged"),
        ({**environment(), "source": {"type": "GITHUB", "location": "x"}}, "names no bucket"),
        ({**environment(environmentVariables=[SECRET]), "source": {}}, "names no bucket"),
    ],
)
def test_a_project_that_cannot_build_images_is_refused(changes: dict[str, Any], why: str) -> None:
    aws = account(BatchGetProjects={"projects": [described(**changes)]})
    with pytest.raises(SmProxyError, match=why) as caught:
        project.find(aws, "own", stack=None)
    assert caught.value.code == "bad-setting"
