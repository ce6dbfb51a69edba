"""An image that a build makes, from the Dockerfile to the registry."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from tests.lab.aws.codebuild.helpers import (
    log_of,
    make_project,
    make_role,
    reason,
    run,
    spec,
    upload,
)
from tests.lab.aws.harness import Lab
from tests.lab.conftest import needs_debian, needs_root

HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
_LOGIN = (
    "aws ecr get-login-password --region us-east-1"
    f" | docker login --username AWS --password-stdin {HOST}"
)
_DOCKERFILE = """
FROM public.ecr.aws/lts/ubuntu:18.04_stable
RUN apt-get update && apt-get install -y openssh-server && rm -rf /var/lib/apt/lists/*
RUN rm /usr/bin/rsync && useradd -m worker && echo made > /made
COPY --chown=worker run.sh /opt/
USER worker
WORKDIR /home/worker
RUN id -un; pwd; wc -l < /proc/net/dev
ENTRYPOINT ["/opt/run.sh"]
"""
_CHANGED = f"""
FROM {HOST}/%s:v1
USER root
RUN test ! -e /usr/bin/rsync && cat /made && rm /made
"""


def build(lab: Lab, project: str, image: str, dockerfile: str, *before: str) -> dict[str, Any]:
    """Run a build that pushes an image."""
    files = {"Dockerfile": dockerfile, "run.sh": "#!/bin/sh\n"}
    return run(
        lab,
        project,
        spec(
            {"exported-variables": ["DIGEST"]},
            pre_build=list(before),
            build=['docker build --pull -t "$IMAGE" .'],
            post_build=[
                'if [ "$CODEBUILD_BUILD_SUCCEEDING" = 1 ]; then docker push "$IMAGE"; fi',
                "export DIGEST=$(docker image inspect --format '{{index .RepoDigests 0}}' $IMAGE)",
            ],
        ),
        sourceTypeOverride="S3",
        sourceLocationOverride=upload(lab, files),
        environmentVariablesOverride=[{"name": "IMAGE", "value": image}],
    )


def repository(lab: Lab) -> str:
    """The name of a new repository."""
    name = f"image-{uuid.uuid4().hex[:8]}"
    lab.client("ecr").create_repository(repositoryName=name)
    return name


@needs_root
@needs_debian
def test_an_image_is_built_run_in_and_pushed(lab: Lab, project: str) -> None:
    name = repository(lab)
    made = build(lab, project, f"{HOST}/{name}:v1", _DOCKERFILE, _LOGIN)
    log = "\n".join(log_of(lab, made))
    assert made["buildStatus"] == "SUCCEEDED", log
    for shown in ("worker", "/home/worker", "3"):  # no interface but the loopback
        assert any(line.endswith(f" {shown}") for line in log.splitlines()), (shown, log)
    detail = lab.client("ecr").describe_images(repositoryName=name)["imageDetails"][0]
    exported = made["exportedEnvironmentVariables"]
    assert exported == [{"name": "DIGEST", "value": f"{HOST}/{name}@{detail['imageDigest']}"}]
    found = lab.control.image(f"{HOST}/{name}:v1")
    assert found["config"]["Entrypoint"] == ["/opt/run.sh"]
    assert found["lab"]["gone"] == ["usr/bin/rsync"]
    (files,) = map(Path, found["lab"]["layers"])
    assert (files / "opt" / "run.sh").stat().st_uid >= 1000
    assert not (files / "usr" / "bin" / "apt-get").exists()

    changed = build(lab, project, f"{HOST}/{name}:v2", _CHANGED % name, _LOGIN)
    assert changed["buildStatus"] == "SUCCEEDED", log_of(lab, changed)
    found = lab.control.image(f"{HOST}/{name}:v2")
    assert found["config"]["WorkingDir"] == "/home/worker"
    assert len(found["lab"]["layers"]) == 2
    assert sorted(found["lab"]["gone"]) == ["made", "usr/bin/rsync"]


def test_a_push_without_permission_is_denied(lab: Lab) -> None:
    name = repository(lab)
    actions = ["logs:*", "s3:*", "ecr:GetAuthorizationToken"]
    role = make_role(lab, {"Effect": "Allow", "Action": actions, "Resource": "*"})
    made = build(lab, make_project(lab, role), f"{HOST}/{name}:v1", "FROM scratch\nENV A=1", _LOGIN)
    assert made["buildStatus"] == "FAILED"
    assert "Reason: exit status 1" in reason(made, "POST_BUILD")
    denied = next(line for line in log_of(lab, made) if line.startswith("denied: "))
    assert ":assumed-role/" in denied
    assert "ecr:BatchCheckLayerAvailability" in denied


def test_errors_of_docker_are_in_the_log(lab: Lab, project: str) -> None:
    wrong = f"echo guessed | docker login --username AWS --password-stdin {HOST}; true"
    made = build(lab, project, f"{HOST}/none:v1", f"FROM {HOST}/none\nRNU x", wrong)
    log = log_of(lab, made)
    refused = f"login attempt to https://{HOST}/v2/ failed with status: 400 Bad Request"
    assert f"Error response from daemon: {refused}" in log
    words = "dockerfile parse error on line 2: unknown instruction: RNU"
    assert f"ERROR: failed to solve: {words}" in log
    assert "   2 | >>> RNU x" in log
    assert reason(made, "BUILD").startswith("COMMAND_EXECUTION_ERROR: Error while")


def test_docker_needs_a_privileged_project(lab: Lab, role: str) -> None:
    environment = {
        "type": "LINUX_CONTAINER",
        "image": "aws/codebuild/standard:7.0",
        "computeType": "BUILD_GENERAL1_SMALL",
    }
    made = build(lab, make_project(lab, role, environment=environment), "x", "FROM scratch")
    assert any("Cannot connect to the Docker daemon" in line for line in log_of(lab, made))
