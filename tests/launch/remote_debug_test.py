"""Which jobs can have RemoteDebug, by a request or a description."""

from __future__ import annotations

from typing import Any

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.launch import permissions, remote_debug, shapes
from sm_proxy.launch.changes import Draft

SHAPE = shapes.of("CreateTrainingJob")
ECR = "dkr.ecr.us-east-1.amazonaws.com"
ROLE = "arn:aws:iam::111122223333:role/job"


def request(image: str = f"111122223333.{ECR}/train:1", **changes: Any) -> dict[str, Any]:
    return {"RoleArn": ROLE, "AlgorithmSpecification": {"TrainingImage": image}, **changes}


@pytest.mark.parametrize(
    "image",
    [
        f"111122223333.{ECR}/train:1",
        f"763104351884.{ECR}/pytorch-training:2.5.1-gpu-py311",
        f"683313688378.{ECR}/sagemaker-xgboost:1.7-1",  # runs scripts too
        f"111122223333.{ECR}/kmeans:1",  # an image of the user's own
        "public.ecr.aws/docker/library/python:3.12",
    ],
)
def test_framework_containers_and_own_images_can_have_it(image: str) -> None:
    draft = Draft(request(image))
    remote_debug.switch_on(draft, SHAPE)
    assert remote_debug.is_on(draft.request, SHAPE)
    assert [change.after for change in draft.changes] == [True]
    assert draft.changes[0].why


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"image": f"382416733822.{ECR}/linear-learner:1"}, "unsupported", "linear-learner"),
        ({"image": f"382416733822.{ECR}/kmeans@sha256:1"}, "unsupported", "kmeans"),
        ({"EnableNetworkIsolation": True}, "network-isolation", "network isolation"),
        ({"AlgorithmSpecification": {"AlgorithmName": "arn:x"}}, "unsupported", "arn:x"),
        ({"ServerlessJobConfig": {"JobType": "x"}}, "unsupported", "serverless"),
    ],
)
def test_other_jobs_are_refused(changes: dict[str, Any], code: str, words: str) -> None:
    with pytest.raises(SmProxyError) as caught:
        remote_debug.refuse(request(**changes), SHAPE)
    assert caught.value.code == code
    assert words in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("config", [{}, None, {"EnableRemoteDebug": False}])
def test_remote_debug_is_off_unless_the_request_has_it(config: dict[str, bool] | None) -> None:
    assert not remote_debug.is_on(request(RemoteDebugConfig=config), SHAPE)


@pytest.mark.parametrize(
    ("caller", "principal"),
    [
        ("arn:aws:iam::111122223333:user/team/ann", "arn:aws:iam::111122223333:user/team/ann"),
        (
            "arn:aws-cn:sts::111122223333:assumed-role/dev/s",
            "arn:aws-cn:iam::111122223333:role/dev",
        ),
        ("arn:aws:iam::111122223333:root", None),
        (None, None),
    ],
)
def test_a_session_is_simulated_as_its_role(caller: str | None, principal: str | None) -> None:
    assert permissions.principal(caller) == principal
