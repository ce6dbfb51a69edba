"""Instances with less than 8 GiB are refused, and the next size is named."""

from __future__ import annotations

import botocore.session
import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import space_sizes


@pytest.mark.parametrize("small", [*space_sizes.ENOUGH_FOR, ""])
def test_a_small_instance_is_refused_with_one_that_serves(small: str) -> None:
    with pytest.raises(SmProxyError) as caught:
        space_sizes.refuse_too_small(small)
    assert caught.value.code == "unsupported"
    enough = space_sizes.large_enough(small)
    assert enough in caught.value.hint
    space_sizes.refuse_too_small(enough)
    assert space_sizes.large_enough(enough) == enough


def test_the_callers_next_step_takes_the_place_of_ours() -> None:
    with pytest.raises(SmProxyError) as caught:
        space_sizes.refuse_too_small("ml.t3.medium", "sm-proxy start sm-lab.space")
    assert caught.value.hint == "sm-proxy start sm-lab.space"


def test_all_instances_of_the_table_are_studios() -> None:
    model = botocore.session.get_session().get_service_model("sagemaker")
    known = set(model.shape_for("AppInstanceType").metadata["enum"])
    assert {*space_sizes.ENOUGH_FOR, *space_sizes.ENOUGH_FOR.values()} <= known
