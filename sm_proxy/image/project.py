"""The CodeBuild project that builds images: `sm-proxy infra deploy` makes it, once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sm_proxy.aws import asking, stack_names
from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError

BUCKET: Final = "SM_PROXY_BUCKET"
"""The project's variable with the name of the bucket for build contexts."""


@dataclass(frozen=True)
class Project:
    """A project.

    Attributes:
        name: of the project.
        account: that owns it, and the bucket.
        region: it is in.
        bucket: for build contexts.
        role: the ARN of the role that builds have.
    """

    name: str
    account: str
    region: str
    bucket: str
    role: str


def find(aws: Aws, name: str, *, stack: str | None) -> Project:
    """A project by its name.

    Args:
        aws: for the call.
        name: of the project.
        stack: whose project it is; None for one that the user names.

    Raises:
        SmProxyError: `no-stack` or `bad-setting`, there is no such project, or it cannot build
            images; or the call failed.
    """
    found = asking.ask(aws, "codebuild", "BatchGetProjects", names=[name])["projects"]
    if not found:
        raise _missing(aws, name, stack)
    return _parsed(found[0], name)


def _missing(aws: Aws, name: str, stack: str | None) -> SmProxyError:
    what = f"there is no CodeBuild project {name} in {aws.region}"
    if stack is None:
        return SmProxyError(
            "bad-setting", what, "Name another one with --project, or leave it out."
        )
    named = "" if stack == stack_names.DEFAULT else f" --stack {stack}"
    return SmProxyError(
        "no-stack",
        what,
        f"Make it with `sm-proxy infra deploy{named}`; --stack names another stack.",
    )


def _parsed(document: dict[str, Any], name: str) -> Project:
    _, _, _, region, account, _ = document["arn"].split(":", 5)
    environment = document.get("environment", {})
    if not environment.get("privilegedMode"):
        raise SmProxyError(
            "bad-setting",
            f"builds of the CodeBuild project {name} cannot run docker: it is not privileged",
            "Set PrivilegedMode in the project's environment.",
        )
    # Of another type, the value is the name of a parameter or secret.
    variables = {
        item["name"]: item["value"]
        for item in environment.get("environmentVariables", [])
        if item.get("type", "PLAINTEXT") == "PLAINTEXT"
    }
    bucket = variables.get(BUCKET, "")
    source = document.get("source", {})
    if not bucket and source.get("type") == "S3":
        bucket = str(source.get("location", "")).partition("/")[0]
    if not bucket:
        raise SmProxyError(
            "bad-setting",
            f"the CodeBuild project {name} names no bucket for build contexts",
            f"Give it a plain environment variable {BUCKET} with a bucket that its role may read.",
        )
    return Project(name, account, region, bucket, str(document.get("serviceRole", "")))
