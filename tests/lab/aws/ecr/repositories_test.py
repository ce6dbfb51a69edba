"""Repositories: made, described, tagged and deleted."""

from __future__ import annotations

import uuid

from tests.lab.aws.harness import Lab, refusal

REGISTRY = "in the registry with id '123456789012'"


def test_a_repository_is_made_with_its_tags_and_settings(lab: Lab) -> None:
    ecr, name = lab.client("ecr"), f"made/{uuid.uuid4().hex}"
    tags = [{"Key": "sm-proxy:role", "Value": "image"}]
    made = ecr.create_repository(
        repositoryName=name,
        tags=tags,
        imageTagMutability="IMMUTABLE",
        imageScanningConfiguration={"scanOnPush": True},
    )["repository"]
    found = ecr.describe_repositories(repositoryNames=[name])["repositories"]
    assert found == [made]
    assert made["repositoryUri"] == f"123456789012.dkr.ecr.us-east-1.amazonaws.com/{name}"
    assert made["imageTagMutability"] == "IMMUTABLE"
    assert made["imageScanningConfiguration"] == {"scanOnPush": True}
    arn = made["repositoryArn"]
    assert ecr.list_tags_for_resource(resourceArn=arn)["tags"] == tags
    ecr.tag_resource(resourceArn=arn, tags=[{"Key": "team", "Value": "a"}])
    ecr.untag_resource(resourceArn=arn, tagKeys=["sm-proxy:role"])
    left = ecr.list_tags_for_resource(resourceArn=arn)["tags"]
    assert left == [{"Key": "team", "Value": "a"}]
    again = refusal(ecr.create_repository, repositoryName=name)
    assert again[0] == "RepositoryAlreadyExistsException"


def test_an_unknown_repository_is_refused(lab: Lab) -> None:
    ecr = lab.client("ecr")
    code, message, status = refusal(ecr.describe_repositories, repositoryNames=["none-such"])
    assert (code, status) == ("RepositoryNotFoundException", 400)
    assert message == f"The repository with name 'none-such' does not exist {REGISTRY}"


def test_a_repository_with_images_is_deleted_only_by_force(lab: Lab) -> None:
    ecr, name = lab.client("ecr"), f"full-{uuid.uuid4().hex}"
    digest = lab.control.put_image(f"123456789012.dkr.ecr.us-east-1.amazonaws.com/{name}:v1", {})
    assert refusal(ecr.delete_repository, repositoryName=name)[0] == "RepositoryNotEmptyException"
    named = [{"imageDigest": digest, "imageTag": "v1"}]
    assert ecr.list_images(repositoryName=name)["imageIds"] == named
    gone = ecr.batch_delete_image(repositoryName=name, imageIds=[{"imageDigest": digest}])
    assert gone["imageIds"] == [{"imageDigest": digest}]
    assert ecr.list_images(repositoryName=name)["imageIds"] == []
    lab.control.put_image(f"123456789012.dkr.ecr.us-east-1.amazonaws.com/{name}:v1", {})
    ecr.delete_repository(repositoryName=name, force=True)
    assert refusal(ecr.describe_images, repositoryName=name)[0] == "RepositoryNotFoundException"
