"""The calls behind `docker login` and `docker push`."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import uuid
from typing import Any
from urllib.parse import urlsplit

import pytest

from sm_proxy_lab.aws.ecr import images
from tests.lab.aws.harness import Lab, refusal


def log_in(lab: Lab, token: str) -> int:
    """Status of the request with which docker tries a password."""
    connection = http.client.HTTPConnection(urlsplit(lab.endpoint).netloc, timeout=30)
    connection.request("GET", "/v2/", headers={"Authorization": f"Basic {token}"})
    status = connection.getresponse().status
    connection.close()
    return status


def upload(ecr: Any, name: str, content: bytes) -> str:
    """Upload one blob in two parts; return its digest."""
    begun = ecr.initiate_layer_upload(repositoryName=name)
    where = {"repositoryName": name, "uploadId": begun["uploadId"]}
    for first, part in ((0, content[:1]), (1, content[1:])):
        last = first + len(part) - 1
        ecr.upload_layer_part(**where, partFirstByte=first, partLastByte=last, layerPartBlob=part)
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    wrong = f"sha256:{'0' * 64}"
    refused = refusal(ecr.complete_layer_upload, **where, layerDigests=[wrong])
    assert refused[0] == "InvalidLayerException"
    ecr.complete_layer_upload(**where, layerDigests=[digest])
    return digest


def manifest_of(config: str, layer: str) -> str:
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": images.DOCKER,
            "config": {"digest": config, "size": 2, "mediaType": "x"},
            "layers": [{"digest": layer, "size": 77, "mediaType": images.LAYER}],
        }
    )


@pytest.mark.parametrize("mutability", ["MUTABLE", "IMMUTABLE"])
def test_a_pushed_image_is_described(lab: Lab, mutability: str) -> None:
    ecr, name = lab.client("ecr"), f"pushed-{uuid.uuid4().hex}"
    ecr.create_repository(repositoryName=name, imageTagMutability=mutability)
    layer = upload(ecr, name, b"the layer")
    config = f"sha256:{hashlib.sha256(b'{}').hexdigest()}"
    asked = {"repositoryName": name, "imageTag": "v1"}
    early = refusal(ecr.put_image, **asked, imageManifest=manifest_of(config, layer))
    assert early[0] == "LayersNotFoundException"
    upload(ecr, name, b"{}")
    seen = ecr.batch_check_layer_availability(
        repositoryName=name, layerDigests=[layer, f"sha256:{'1' * 64}"]
    )
    assert [each["layerDigest"] for each in seen["layers"]] == [layer]
    assert seen["failures"][0]["failureCode"] == "MissingLayerDigest"
    put = ecr.put_image(**asked, imageManifest=manifest_of(config, layer))["image"]
    detail = ecr.describe_images(repositoryName=name, imageIds=[{"imageTag": "v1"}])
    shown = detail["imageDetails"][0]
    assert shown["imageDigest"] == put["imageId"]["imageDigest"]
    assert (shown["imageTags"], shown["imageSizeInBytes"]) == (["v1"], 77)
    same = refusal(ecr.put_image, **asked, imageManifest=manifest_of(config, layer))
    assert same[0] == "ImageAlreadyExistsException"
    other = {**asked, "imageManifest": manifest_of(layer, layer)}
    if mutability == "IMMUTABLE":
        assert refusal(ecr.put_image, **other)[0] == "ImageTagAlreadyExistsException"
    else:
        ecr.put_image(**other)


def test_only_a_token_of_the_registry_logs_in(lab: Lab) -> None:
    data = lab.client("ecr").get_authorization_token()["authorizationData"][0]
    assert data["proxyEndpoint"] == "https://123456789012.dkr.ecr.us-east-1.amazonaws.com"
    assert log_in(lab, data["authorizationToken"]) == 200
    assert log_in(lab, base64.b64encode(b"AWS:guessed").decode()) == 400
    assert log_in(lab, "not base64") == 400
    assert log_in(lab, "") == 401
