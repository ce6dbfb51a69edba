"""The configuration of an image is read from ECR: its entry point, and hints."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.launch import image
from tests.aws.local_service import LocalService
from tests.fakes import FakeAws

TOO_SHORT = (
    "111122223333.dkr.ecr.eu-west-1.amazonaws.com/a:1"  # a repository has 2 characters at least
)
URI = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/team/train:v1"
CONFIG = {
    "architecture": "amd64",
    "config": {
        "Entrypoint": ["python", "/opt/train.py"],
        "Cmd": ["--fast"],
        "User": "app",
        "Env": ["PATH=/usr/bin", "A=b=c"],
    },
    "history": [{"created_by": "RUN apt-get install -y openssh-server python3"}],
}
BLOBS: dict[str, bytes] = {}


class Blobs(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        content = BLOBS.get(self.path.partition("?")[0])
        self.send_response(200 if content is not None else 403)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        self.wfile.write(content or b"")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def blobs() -> Iterator[str]:
    service = LocalService(Blobs)
    yield service.url
    service.close()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


def manifest(config: bytes, url: str) -> dict[str, Any]:
    digest = f"sha256:{hashlib.sha256(config).hexdigest()}"
    BLOBS["/config"] = config
    return {"schemaVersion": 2, "config": {"digest": digest, "size": len(config)}, "url": url}


def batch(content: dict[str, Any], digest: str = "sha256:11") -> dict[str, Any]:
    return {"images": [{"imageManifest": json.dumps(content), "imageId": {"imageDigest": digest}}]}


def aws_with(blobs: str, config: dict[str, Any], **changes: Any) -> FakeAws:
    answers: dict[str, Any] = {
        "BatchGetImage": batch(manifest(json.dumps(config).encode(), blobs)),
        "GetDownloadUrlForLayer": {"downloadUrl": f"{blobs}/config?X-Amz-Signature=secret"},
    }
    return FakeAws(**{**answers, **changes})


def test_the_configuration_of_an_image_is_read(blobs: str) -> None:
    aws = aws_with(blobs, CONFIG)
    found = image.read(aws, URI)
    assert found.entrypoint == ("python", "/opt/train.py")
    assert found.command == ("--fast",)
    assert found.architecture == "x86_64"
    assert found.has_sshd
    assert found.has_python
    assert not found.is_ours
    first = aws.calls[0][1]
    assert first["registryId"] == "111122223333"
    assert first["repositoryName"] == "team/train"
    assert first["imageIds"] == [{"imageTag": "v1"}]
    assert len(first["acceptedMediaTypes"]) == 4


def test_a_command_that_is_a_text_is_one_word(blobs: str) -> None:
    config = {"config": {"Entrypoint": "/run it", "Cmd": None}}
    assert image.read(aws_with(blobs, config), URI).entrypoint == ("/run it",)


@pytest.mark.parametrize("content", [b"[" * 200_000, b"\xff", b'{"config": {"Cmd": ["\\ud800"]}}'])
def test_a_hostile_configuration_is_unreadable(blobs: str, content: bytes) -> None:
    aws = aws_with(blobs, CONFIG, BatchGetImage=batch(manifest(content, blobs)))
    with pytest.raises(SmProxyError) as caught:
        image.read(aws, URI)
    assert caught.value.code == "image-unreadable"


def test_an_image_without_entry_point_is_read(blobs: str) -> None:
    found = image.read(aws_with(blobs, {"architecture": "arm64", "config": {}}), URI)
    assert found.entrypoint == ()
    assert found.architecture == "aarch64"
    assert not found.has_sshd
    assert not found.has_python


def index(*platforms: tuple[str, str]) -> dict[str, Any]:
    return {
        "manifests": [
            {"digest": f"sha256:{number}", "platform": {"os": system, "architecture": machine}}
            for number, (system, machine) in enumerate(platforms)
        ]
    }


@pytest.mark.parametrize(("machine", "number"), [("x86_64", 2), ("aarch64", 1)])
def test_the_image_of_the_instances_architecture_is_taken_from_an_index(
    blobs: str, machine: str, number: int
) -> None:
    listed = index(("unknown", "unknown"), ("linux", "arm64"), ("linux", "amd64"))
    answers = [batch(listed), batch(manifest(json.dumps(CONFIG).encode(), blobs))]
    aws = aws_with(blobs, CONFIG, BatchGetImage=answers)
    image.read(aws, URI, machine)
    assert aws.calls[1][1]["imageIds"] == [{"imageDigest": f"sha256:{number}"}]


@pytest.mark.parametrize(
    ("uri", "region", "by"),
    [
        ("{}.dkr.ecr.us-west-2.amazonaws.com/ab", "us-west-2", {"imageTag": "latest"}),
        ("{}.dkr.ecr.cn-north-1.amazonaws.com.cn/a/b:x-1", "cn-north-1", {"imageTag": "x-1"}),
        ("{}.dkr.ecr-fips.us-gov-west-1.amazonaws.com/ab:1", "us-gov-west-1", {"imageTag": "1"}),
        ("{}.dkr-ecr.eu-west-1.on.aws/ab:1", "eu-west-1", {"imageTag": "1"}),
        (
            "{}.dkr.ecr.eu-west-1.amazonaws.com/ab:1@sha256:" + "a" * 64,
            "eu-west-1",
            {"imageDigest": "sha256:" + "a" * 64},
        ),
    ],
)
def test_addresses_of_images(uri: str, region: str, by: dict[str, str]) -> None:
    found = image.parse(uri.format("111122223333"))
    assert found is not None
    assert (found.account, found.region, found.by) == ("111122223333", region, by)


def test_an_image_in_another_region_is_asked_for_there(blobs: str) -> None:
    regions = []

    class Elsewhere(FakeAws):
        def call(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
            regions.append(self.region)
            return super().call(service, operation, **parameters)

    aws = aws_with(blobs, CONFIG)
    image.read(Elsewhere(**aws._answers), URI.replace("eu-west-1", "us-west-2"))
    assert regions == ["us-west-2", "us-west-2"]


@pytest.mark.parametrize(
    ("line", "sshd", "python"),
    [
        ("RUN apk add openssh", True, False),
        ("RUN apt-get install -y openssh-client", False, False),
        ("RUN apt-get install dropbear-bin && x", True, False),
        ("RUN apt-get remove -y openssh-server", False, False),
        ("RUN apt-get purge -y dropbear && apt-get install openssh-server", True, False),
        ("RUN apt-get remove -y vim\nRUN apt-get install -y openssh-server", True, False),
        ("COPY train.py /opt/", False, True),
        ("RUN pip3 install torch", False, True),
        ("ENV PATH=/opt/conda/bin", False, True),
        ("ENV PYTHON_VERSION=3.12.1", False, True),
        ("COPY app /app", False, False),
    ],
)
def test_the_history_hints_at_sshd_and_python(
    blobs: str, line: str, sshd: bool, python: bool
) -> None:
    config = {"config": {}, "history": [{"created_by": line}]}
    found = image.read(aws_with(blobs, config), URI)
    assert (found.has_sshd, found.has_python) == (sshd, python)


@pytest.mark.parametrize(
    ("lines", "config", "distroless"),
    [
        (["bazel build ..."], {"Entrypoint": ["/usr/bin/python3.11"]}, True),
        (["bazel build //base", "COPY train.py /opt/ # buildkit"], {}, True),
        (["bazel build ..."], {"Env": ["PATH=/usr/bin:/busybox"]}, False),
        (["bazel build ..."], {"Entrypoint": ["/bin/bash", "-c"]}, False),
        (["bazel build ...", "RUN pip install torch"], {}, False),
        (["/bin/sh -c #(nop) ADD file:1 in /", "bazel build //app"], {}, False),
        (["COPY train.py /opt/"], {}, False),
    ],
)
def test_a_distroless_image_is_known(
    blobs: str, lines: list[str], config: dict[str, Any], distroless: bool
) -> None:
    history = [{"created_by": line} for line in lines]
    found = image.read(aws_with(blobs, {"config": config, "history": history}), URI)
    assert found.is_distroless is distroless


def test_our_own_entry_point_is_known(blobs: str) -> None:
    config = {"config": {"Entrypoint": ["/opt/sm-proxy/entrypoint.sh", "train"]}}
    assert image.read(aws_with(blobs, config), URI).is_ours
    config = {"config": {"Entrypoint": ["/usr/bin/entrypoint.sh"]}}
    assert not image.read(aws_with(blobs, config), URI).is_ours


DENIED = SmProxyError(
    "access-denied", "ecr:BatchGetImage is denied: no", "Allow ecr:BatchGetImage in the policy."
)
UNREADABLE: dict[str, tuple[dict[str, Any], str]] = {
    "denied": ({"BatchGetImage": DENIED}, "ecr:BatchGetImage is denied"),
    "no repository policy": (
        {"BatchGetImage": ServiceError("RepositoryNotFoundException", "x", "ecr:BatchGetImage")},
        "RepositoryNotFoundException",
    ),
    "gone": (
        {"BatchGetImage": {"images": [], "failures": [{"failureReason": "not found"}]}},
        "not found",
    ),
    "no answer": ({"BatchGetImage": {}}, "none"),
    "old": ({"BatchGetImage": batch({"schemaVersion": 1})}, "of an old form"),
    "not JSON": ({"BatchGetImage": {"images": [{"imageManifest": "?"}]}}, "Expecting value"),
    "other machine": ({"BatchGetImage": batch(index(("linux", "s390x")))}, "nothing for linux"),
    "endless": ({"BatchGetImage": batch(index(("linux", "amd64")))}, "another index"),
    "other shape": ({"BatchGetImage": batch({"config": 3})}, "its registry describes"),
    "other content": (
        {"BatchGetImage": batch({"config": {"digest": "sha256:00"}})},
        "another digest",
    ),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_an_unreadable_image_names_the_way_out(blobs: str, case: str) -> None:
    changes, words = UNREADABLE[case]
    with pytest.raises(SmProxyError) as caught:
        image.read(aws_with(blobs, CONFIG, **changes), URI)
    assert caught.value.code == "image-unreadable"
    assert words in caught.value.message
    assert URI in caught.value.message
    assert "--entrypoint" in caught.value.hint


@pytest.mark.parametrize(
    "url", ["{}/missing?X-Amz-Signature=secret", "http://127.0.0.1:1/x?secret"]
)
def test_a_failed_download_does_not_show_its_signed_address(blobs: str, url: str) -> None:
    aws = aws_with(blobs, CONFIG, GetDownloadUrlForLayer={"downloadUrl": url.format(blobs)})
    with pytest.raises(SmProxyError) as caught:
        image.read(aws, URI)
    assert caught.value.code == "image-unreadable"
    assert "127.0.0.1" in caught.value.message
    assert "secret" not in caught.value.line


def test_a_download_that_is_too_large_is_refused(
    blobs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image, "_CONFIG_LIMIT", 10)
    with pytest.raises(SmProxyError, match="more than 10 bytes"):
        image.read(aws_with(blobs, CONFIG), URI)


@pytest.mark.parametrize(
    "uri", ["pytorch/pytorch:2", "public.ecr.aws/a/b:1", "", "x" * 300, TOO_SHORT]
)
def test_an_image_outside_ecr_is_unreadable_without_a_call(uri: str) -> None:
    aws = FakeAws()
    with pytest.raises(SmProxyError, match="not in Amazon ECR") as caught:
        image.read(aws, uri)
    assert caught.value.code == "image-unreadable"
    assert aws.calls == []


@pytest.mark.parametrize("code", ["no-credentials", "network", "throttled"])
def test_other_errors_of_aws_stay_as_they_are(blobs: str, code: Any) -> None:
    with pytest.raises(SmProxyError) as caught:
        image.read(aws_with(blobs, CONFIG, BatchGetImage=SmProxyError(code, "x")), URI)
    assert caught.value.code == code
