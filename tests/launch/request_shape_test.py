"""Any request of the service model gets ssh, and stays valid."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from botocore.session import Session
from botocore.validate import ParamValidator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sm_proxy.launch import described, shapes
from sm_proxy.launch.channel import Channel
from sm_proxy.launch.request import Ssh, add_ssh, has_ssh
from sm_proxy.launch.shapes import OPERATIONS, Operation
from tests.launch.generated import values
from tests.launch.model_limits import broken
from tests.launch.replaying import replay
from tests.launch.request_test import KEY, OTHER

_MODEL = Session().get_service_model("sagemaker")
_REQUESTS = {name: described.request_shape(Session(), name) for name in OPERATIONS}
_DESCRIPTIONS = {
    name: values(_MODEL.operation_model(name.replace("Create", "Describe")).output_shape)
    for name in OPERATIONS
}
_CHANNEL = Channel("s3://bucket/sm-proxy/channel", {"entrypoint.sh": b"#!/bin/sh\n"})
_WORDS = st.one_of(
    st.lists(st.text("a \n\u2028'\"\u00e9", max_size=5), max_size=4),
    st.lists(st.text("ab", max_size=2), min_size=90, max_size=110),
    st.lists(st.text("xy", min_size=250, max_size=260), max_size=2),
)
_WANTED = st.builds(
    Ssh,
    keys=st.sampled_from([(KEY,), (f"{KEY} me", OTHER)]),
    wait_s=st.sampled_from([None, 0, 90, 900]),
    keep_s=st.sampled_from([None, 0, 3600]),
    shell=st.booleans(),
    port=st.sampled_from([None, 2222]),
    image_keys=st.booleans(),
    subnets=st.just(("subnet-1",)),
    security_groups=st.just(("sg-1", "sg-2")),
    without_isolation=st.just(value=True),
    remote_debug=st.just(value=False),
)
_FEW = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def with_a_container(operation: Operation, request: dict[str, Any]) -> dict[str, Any]:
    """The request without what is refused: serverless jobs, and algorithms without an image."""
    request.pop("ServerlessJobConfig", None)
    (holder, image) = shapes.of(operation).IMAGE
    container = {**request.get(str(holder), {}), image: "image"}
    if operation == "CreateTrainingJob":
        container.setdefault("TrainingInputMode", "Pipe")
        container.pop("AlgorithmName", None)
    return {**request, str(holder): container}


def check(operation: Operation, request: dict[str, Any], ssh: Ssh, words: list[str]) -> None:
    shape, before = _REQUESTS[operation], copy.deepcopy(request)
    made = add_ssh(operation, request, ssh, _CHANNEL, words, cmd=["run"])
    assert request == before
    assert not ParamValidator().validate(made.request, shape).has_errors()
    assert set(broken(shape, made.request)) <= set(broken(shape, request))
    assert replay(request, made.changes) == made.request
    assert has_ssh(operation, made.request)
    again = add_ssh(operation, made.request, ssh, _CHANNEL, words, cmd=["run"])
    assert (again.request, again.changes) == (made.request, ())


@pytest.mark.parametrize("operation", OPERATIONS)
@_FEW
@given(data=st.data())
def test_any_request_gets_ssh(operation: Operation, data: st.DataObject) -> None:
    request = with_a_container(operation, data.draw(values(_REQUESTS[operation])))
    check(operation, request, data.draw(_WANTED), data.draw(_WORDS))


@pytest.mark.parametrize("operation", OPERATIONS)
@_FEW
@given(data=st.data())
def test_any_described_job_gets_ssh(operation: Operation, data: st.DataObject) -> None:
    shape = _REQUESTS[operation]
    told = data.draw(_DESCRIPTIONS[operation])
    told |= {name: data.draw(values(shape.members[name])) for name in shape.required_members}
    request = described.request_from(told, [], shape)
    check(
        operation,
        with_a_container(operation, request),
        data.draw(_WANTED),
        data.draw(_WORDS),
    )
