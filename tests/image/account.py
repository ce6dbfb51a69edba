"""An account with a project for image builds."""

from __future__ import annotations

from typing import Any

from sm_proxy.aws.errors import ServiceError
from sm_proxy.image.project import Project
from tests.fakes import Answers, FakeAws

ACCOUNT = "111122223333"
HOST = f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/build"
PROJECT = Project("sm-proxy-image", ACCOUNT, "eu-west-1", "the-bucket", ROLE)
REPOSITORY = {
    "repositoryName": "byoc",
    "repositoryArn": f"arn:aws:ecr:eu-west-1:{ACCOUNT}:repository/byoc",
    "repositoryUri": f"{HOST}/byoc",
    "imageTagMutability": "MUTABLE",
}
TAGGED = {"tags": [{"Key": "sm-proxy:role", "Value": "image"}]}
DIGEST = "sha256:" + "d" * 64
NAME = "sm-proxy-image:0001"
ABSENT = ServiceError("404", "Not Found", "s3:HeadObject")


def project(**changes: Any) -> dict[str, Any]:
    """As BatchGetProjects describes it."""
    return {
        "name": "sm-proxy-image",
        "arn": f"arn:aws:codebuild:eu-west-1:{ACCOUNT}:project/sm-proxy-image",
        "serviceRole": ROLE,
        "source": {"type": "S3", "location": "placeholder/build/none.zip"},
        "environment": {
            "privilegedMode": True,
            "environmentVariables": [{"name": "SM_PROXY_BUCKET", "value": "the-bucket"}],
        },
        **changes,
    }


def build(status: str = "IN_PROGRESS", phase: str = "BUILD", **changes: Any) -> dict[str, Any]:
    """As BatchGetBuilds describes it."""
    done = {
        "id": NAME,
        "buildStatus": status,
        "buildComplete": status != "IN_PROGRESS",
        "currentPhase": phase if status == "IN_PROGRESS" else "COMPLETED",
        "logs": {"groupName": "/aws/codebuild/sm-proxy-image", "streamName": "0001"},
        "phases": [],
    }
    if status == "SUCCEEDED":
        done["exportedEnvironmentVariables"] = [{"name": "SM_PROXY_DIGEST", "value": DIGEST}]
    return {"builds": [{**done, **changes}]}


def log(*pages: list[str]) -> Any:
    """GetLogEvents: a page at each position, then empty ones."""

    def read(**asked: Any) -> dict[str, Any]:
        position = int(asked.get("nextToken", "f/0").removeprefix("f/"))
        lines = pages[position] if position < len(pages) else []
        following = min(position + 1, len(pages))
        events = [{"message": f"{line}\n"} for line in lines]
        return {"events": events, "nextForwardToken": f"f/{following}"}

    return read


def account(**changes: Answers) -> FakeAws:
    """In which everything works, and nothing has been built yet."""
    answers: dict[str, Answers] = {
        "BatchGetProjects": {"projects": [project()]},
        "DescribeRepositories": {"repositories": [REPOSITORY]},
        "ListTagsForResource": TAGGED,
        "HeadObject": ABSENT,
        "PutObject": {},
        "StartBuild": {"build": {"id": NAME}},
        "BatchGetBuilds": [build(phase="PROVISIONING"), build(), build("SUCCEEDED")],
        "GetLogEvents": log(["Step 1"], ["[Container] Phase complete: POST_BUILD"]),
        "DescribeImages": {"imageDetails": [{"imageDigest": DIGEST}]},
    }
    return FakeAws(**{**answers, **changes})
