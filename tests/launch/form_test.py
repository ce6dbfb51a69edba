"""A request with a part of another type is refused in words; it is no bug of ours."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sm_proxy.errors import SmProxyError
from sm_proxy.launch.request import Ssh, add_ssh
from sm_proxy.launch.shapes import Operation
from tests.launch.request_test import CHANNEL, KEY, inputs_named, processing, training

SSH = Ssh(keys=(KEY,), wait_s=60, subnets=("subnet-1",), security_groups=("sg-1",))
FULL: dict[Operation, dict[str, Any]] = {
    "CreateTrainingJob": training(
        InputDataConfig=[
            {
                "ChannelName": "data",
                "DataSource": {"S3DataSource": {"S3Uri": "s3://b", "InstanceGroupNames": ["a"]}},
            }
        ],
        ResourceConfig={"InstanceGroups": [{"InstanceGroupName": "a"}]},
        EnableNetworkIsolation=False,
        Environment={"SM_PROXY_WAIT": "1", "SM_PROXY_AUTHORIZED_KEY": KEY},
        RetryStrategy={"MaximumRetryAttempts": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 90},
    ),
    "CreateProcessingJob": processing(
        ProcessingInputs=inputs_named("data"),
        Environment={"SM_PROXY_KEEP_FAILURE": "1"},
        StoppingCondition={"MaxRuntimeInSeconds": 60},
    ),
}
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=3,
)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"Environment": ["A=1"]}, "Environment is not an object of strings"),
        ({"Environment": {"SM_PROXY_WAIT": 900}}, "Environment is not an object of strings"),
        ({"VpcConfig": {"Subnets": "subnet-1"}}, "VpcConfig.Subnets is not a list of strings"),
        ({"AlgorithmSpecification": "image"}, "AlgorithmSpecification is not an object"),
        ({"InputDataConfig": {"ChannelName": "a"}}, "InputDataConfig is not a list of objects"),
        ({"EnableNetworkIsolation": "no"}, "EnableNetworkIsolation is not true or false"),
        (
            {"StoppingCondition": {"MaxRuntimeInSeconds": "1h"}},
            "StoppingCondition.MaxRuntimeInSeconds is not a whole number",
        ),
    ],
)
def test_the_error_names_the_part(change: dict[str, Any], words: str) -> None:
    with pytest.raises(SmProxyError) as caught:
        add_ssh("CreateTrainingJob", training(**change), SSH, CHANNEL, ["run"])
    assert caught.value.code == "usage"
    assert caught.value.message == f"the request is not valid for CreateTrainingJob: {words}"


def paths(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of each value in a request."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for step, inner in items:
        yield (*above, step)
        if isinstance(inner, dict | list):
            yield from paths(inner, (*above, step))


@pytest.mark.parametrize("operation", FULL)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_value_at_any_place_is_a_bug(operation: Operation, data: st.DataObject) -> None:
    request = copy.deepcopy(FULL[operation])
    path = data.draw(st.sampled_from(sorted(paths(request), key=str)))
    holder: Any = request
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = data.draw(ANYTHING)
    try:
        made = add_ssh(operation, request, SSH, CHANNEL, ["run"])
    except SmProxyError as error:
        assert error.line.isprintable()  # noqa: PT017 - also no error is right
    else:
        again = add_ssh(operation, made.request, SSH, CHANNEL, ["run"])
        assert again.changes == ()
