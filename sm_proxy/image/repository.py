"""The repository in ECR that an image goes to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.aws.stack_names import IMAGE_TAG, STACK_TAG
from sm_proxy.errors import SmProxyError
from sm_proxy.image.names import Repository
from sm_proxy.image.project import Project

_ABSENT: Final = "RepositoryNotFoundException"
_NOT_NEW: Final = "RepositoryAlreadyExistsException"


def ensure(
    aws: Aws,
    wanted: Repository,
    project: Project,
    on_status: Callable[[str], None],
    stack: str | None = None,
) -> str:
    """Find a repository, or make it.

    Args:
        aws: for the calls.
        wanted: by the user.
        project: that pushes to it.
        on_status: takes a line for people.
        stack: whose project it is, and so the repository if we make it; None for one that the
            user names.

    Returns:
        Its address, `REGISTRY/NAME`.

    Raises:
        SmProxyError: `usage`, it is in another account or region than the project; `bad-setting`,
            it has an image with this tag, and tags there are not changed; or a call failed.
    """
    _refuse_another_place(wanted, project)
    try:
        found = _described(aws, wanted.name)
        if found is None:
            return _made(aws, wanted.name, stack, on_status)
    except ServiceError as error:
        raise error.as_failure() from None
    if command := missing_tag(aws, str(found["repositoryArn"])):
        on_status(
            f"the repository {wanted.name} has no tag {IMAGE_TAG['Key']}={IMAGE_TAG['Value']}, so"
            f" the build's role {project.role} may not be allowed to push to it; this allows it:"
            f" {command}"
        )
    if found.get("imageTagMutability") == "IMMUTABLE" and digest_of(aws, wanted):
        raise SmProxyError(
            "bad-setting",
            f"{wanted.name} has an image with the tag {wanted.tag}, and its tags are immutable",
            "Choose another tag.",
        )
    return str(found["repositoryUri"])


def missing_tag(aws: Aws, arn: str) -> str:
    """The command that adds our tag to a repository; empty if it has it, or the call is denied."""
    answer = aws.call_if_allowed("ecr", "ListTagsForResource", resourceArn=arn)
    if answer is None or IMAGE_TAG in answer.get("tags", []):
        return ""
    tag = f"Key={IMAGE_TAG['Key']},Value={IMAGE_TAG['Value']}"
    return f"aws ecr tag-resource --region {aws.region} --resource-arn {arn} --tags {tag}"


def digest_of(aws: Aws, image: Repository) -> str:
    """The digest of the image that has a tag; empty without one, or if the call is denied."""
    ids = [{"imageTag": image.tag}]
    answer = aws.call_if_allowed("ecr", "DescribeImages", repositoryName=image.name, imageIds=ids)
    details = (answer or {}).get("imageDetails", [])
    return str(details[0]["imageDigest"]) if details else ""


def _refuse_another_place(wanted: Repository, project: Project) -> None:
    registry = wanted.registry
    if registry is None or (registry.account, registry.region) == (project.account, project.region):
        return
    raise SmProxyError(
        "usage",
        f"{registry.host} is not in the account and region of the CodeBuild project"
        f" ({project.account}, {project.region}), which pushes there only",
        "Use the credentials and the --region of that account, or write NAME:TAG.",
    )


def _described(aws: Aws, name: str) -> dict[str, Any] | None:
    try:
        found = aws.call("ecr", "DescribeRepositories", repositoryNames=[name])
    except ServiceError as error:
        if error.error != _ABSENT:
            raise
        return None
    return dict(found["repositories"][0])


def _made(aws: Aws, name: str, stack: str | None, on_status: Callable[[str], None]) -> str:
    of_stack = [{"Key": STACK_TAG, "Value": stack}] if stack else []
    try:
        made = aws.call(
            "ecr",
            "CreateRepository",
            repositoryName=name,
            tags=[IMAGE_TAG, *of_stack],
            imageScanningConfiguration={"scanOnPush": True},
        )["repository"]
    except ServiceError as error:
        found = _described(aws, name) if error.error == _NOT_NEW else None
        if found is None:
            raise
        return str(found["repositoryUri"])
    on_status(f"made the repository {name}, which scans images for vulnerabilities at each push")
    return str(made["repositoryUri"])
