"""Images in ECR, as a client reads their settings."""

from __future__ import annotations

import http.client
import json
import uuid
from typing import Any
from urllib.parse import urlsplit

import pytest

from sm_proxy_lab.aws.control_client import ControlError
from sm_proxy_lab.aws.ecr import images
from tests.lab.aws.harness import Lab, refusal

HOME = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
CONFIG = {"Entrypoint": ["python", "train.py"], "User": "1000"}


def get(url: str, **headers: str) -> tuple[int, bytes]:
    """Status and body of a plain GET."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    connection.request("GET", f"{parts.path}?{parts.query}", headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def config_of(lab: Lab, repository: str, **registry: str) -> Any:
    """The settings of the image `repository:v1` for linux/amd64, read as a client does."""
    ecr = lab.client("ecr")

    def manifest(**image: str) -> Any:
        found = ecr.batch_get_image(
            repositoryName=repository,
            imageIds=[image],
            acceptedMediaTypes=[kind for form in images.FORMS.values() for kind in form[:2]],
            **registry,
        )
        assert found["failures"] == []
        return json.loads(found["images"][0]["imageManifest"])

    top = manifest(imageTag="v1")
    for entry in top.get("manifests", ()):
        if entry["platform"] == {"architecture": "amd64", "os": "linux"}:
            top = manifest(imageDigest=entry["digest"])
    url = ecr.get_download_url_for_layer(
        repositoryName=repository, layerDigest=top["config"]["digest"], **registry
    )["downloadUrl"]
    status, body = get(url)
    assert status == 200
    return json.loads(body)


@pytest.mark.parametrize("form", images.FORMS)
@pytest.mark.parametrize("index", [False, True])
def test_the_settings_of_an_image_are_read_with_three_requests(
    lab: Lab, form: str, index: bool
) -> None:
    name = f"repo/{uuid.uuid4().hex[:8]}"
    lab.control.put_image(
        f"{HOME}/{name}:v1", CONFIG, history=["RUN apt-get"], form=form, index=index
    )
    found = config_of(lab, name)
    assert (found["config"], found["architecture"]) == (CONFIG, "amd64")
    assert found["history"] == [{"created_by": "RUN apt-get"}]
    assert lab.control.image(f"{HOME}/{name}:v1") == found


def test_a_tag_moves_and_the_time_of_the_push_is_shown(lab: Lab) -> None:
    name = f"repo/{uuid.uuid4().hex[:8]}"
    first = lab.control.put_image(f"{HOME}/{name}:v1", CONFIG, at=1_700_000_000)
    second = lab.control.put_image(f"{HOME}/{name}:v1", {"User": "other"}, at=1_700_000_060)
    describe = lab.client("ecr").describe_images
    detail = describe(repositoryName=name, imageIds=[{"imageTag": "v1"}])["imageDetails"][0]
    assert (detail["imageDigest"], detail["imageTags"]) == (second, ["v1"])
    assert detail["imagePushedAt"].timestamp() == 1_700_000_060
    digests = [image["imageDigest"] for image in describe(repositoryName=name)["imageDetails"]]
    assert digests == [first, second]
    assert lab.control.image(f"{HOME}/{name}@{first}")["config"] == CONFIG
    lab.control.put_image(f"{HOME}/{name}:arm", CONFIG, architecture="arm64")
    assert lab.control.image(f"{HOME}/{name}:arm")["architecture"] == "arm64"


def test_images_of_another_account_are_read_if_it_allows_that(lab: Lab) -> None:
    name = f"repo/{uuid.uuid4().hex[:8]}"
    lab.control.put_image(f"763104351884.dkr.ecr.us-east-1.amazonaws.com/{name}:v1", CONFIG)
    assert config_of(lab, name, registryId="763104351884")["config"] == CONFIG
    get = lab.client("ecr").batch_get_image
    wanted: dict[str, Any] = {"repositoryName": "xgboost", "imageIds": [{"imageTag": "1.7-1"}]}
    code, words, _ = refusal(get, registryId="683313688378", **wanted)
    assert code == "AccessDeniedException"
    assert "ecr:BatchGetImage on resource: arn:aws:ecr:us-east-1:683313688378:" in words
    assert refusal(get, **wanted) == (
        "RepositoryNotFoundException",
        (
            "The repository with name 'xgboost' does not exist in the registry with id "
            "'123456789012'"
        ),
        400,
    )


def test_a_missing_image_or_config_is_reported(lab: Lab) -> None:
    name = f"repo/{uuid.uuid4().hex[:8]}"
    lab.control.put_image(f"{HOME}/{name}:v1", CONFIG, form="oci")
    ecr = lab.client("ecr")
    for wanted in ({"imageIds": [{"imageTag": "v2"}]}, {"acceptedMediaTypes": [images.DOCKER]}):
        request = {"repositoryName": name, "imageIds": [{"imageTag": "v1"}], **wanted}
        found = ecr.batch_get_image(**request)
        assert found["images"] == []
        assert [failure["failureCode"] for failure in found["failures"]] == ["ImageNotFound"]
    missing = f"sha256:{'0' * 64}"
    code, _, _ = refusal(ecr.get_download_url_for_layer, repositoryName=name, layerDigest=missing)
    assert code == "LayersNotFoundException"
    code, words, _ = refusal(
        ecr.describe_images, repositoryName=name, imageIds=[{"imageTag": "v2"}]
    )
    assert code == "ImageNotFoundException"
    assert words.startswith("The image with imageId {tag:'v2'} does not exist")
    with pytest.raises(ControlError):
        lab.control.image(f"{HOME}/{name}:v2")
    with pytest.raises(ControlError, match="not an image in ECR"):
        lab.control.put_image("docker.io/library/python:3", CONFIG)
    with pytest.raises(ControlError, match="colour"):
        lab.control.put_image(f"{HOME}/{name}:v1", CONFIG, colour=1)


@pytest.mark.parametrize(
    ("tail", "headers", "status"), [("0", {}, 403), ("", {"Authorization": "AWS4-HMAC"}, 400)]
)
def test_only_the_whole_url_and_no_other_proof_gives_a_config(
    lab: Lab, tail: str, headers: dict[str, str], status: int
) -> None:
    name = f"repo/{uuid.uuid4().hex[:8]}"
    lab.control.put_image(f"{HOME}/{name}:v1", CONFIG)
    ecr = lab.client("ecr")
    image = ecr.batch_get_image(repositoryName=name, imageIds=[{"imageTag": "v1"}])["images"][0]
    digest = json.loads(image["imageManifest"])["config"]["digest"]
    url = ecr.get_download_url_for_layer(repositoryName=name, layerDigest=digest)["downloadUrl"]
    assert get(url + tail, **headers)[0] == status
