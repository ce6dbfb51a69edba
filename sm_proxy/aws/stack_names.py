"""Names in the stack of `sm-proxy infra` that several rooms must know."""

from __future__ import annotations

from typing import Any, Final

DEFAULT: Final = "sm-proxy"
"""The stack's own name, unless the user names another."""
CONTEXTS: Final = "build/"
"""The prefix of build contexts in its bucket."""
FILES: Final = "sm-proxy/"
"""The prefix of our files for jobs, in a bucket of the job."""
CHANNEL: Final = f"{FILES}channel"
"""The folder of a job's input channel there."""
COPIES: Final = f"{FILES}copy/"
"""The prefix of files that a copy hands over, in a bucket that the user names."""
IMAGE_TAG: Final = {"Key": "sm-proxy:role", "Value": "image"}
"""Of the repositories that builds may push to, as ECR writes a tag."""
STACK_TAG: Final = "sm-proxy:stack"
"""The key of a tag of all that belongs to a stack; its value is the stack's name. Of repositories,
those have it that `image build` made, not those that the user lets it push to."""


def bucket(stack: str, account: str, region: str) -> str:
    """The bucket for build contexts and for jobs."""
    return f"{stack}-{account}-{region}"


def project(stack: str) -> str:
    """The CodeBuild project that builds images."""
    return f"{stack}-image"


def build_log(stack: str) -> str:
    """The log group of that project."""
    return f"/aws/codebuild/{project(stack)}"


def has_image_tag(condition_key: str) -> dict[str, Any]:
    """The condition of a policy for these repositories.

    Args:
        condition_key: `aws:ResourceTag` for those that exist, `aws:RequestTag` for new ones.
    """
    key, value = IMAGE_TAG["Key"], IMAGE_TAG["Value"]
    return {"StringEquals": {f"{condition_key}/{key}": value}}
