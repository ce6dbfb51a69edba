from __future__ import annotations

from collections.abc import Callable

import pytest

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.infra import deploy, pause
from sm_proxy.infra import stack as stacks
from sm_proxy.infra.stack import Stack
from tests.fakes import FakeAws
from tests.infra.fake_cloudformation import with_stack
from tests.infra.plans import plan


def test_only_the_count_changes_and_only_once() -> None:
    cloud = with_stack(Prefix="10.7")
    template, aws = cloud.template, cloud.aws()
    assert pause.set_count(aws, stacks.existing(aws, "sm-proxy"), 0)
    cloud.run()
    found = stacks.existing(aws, "sm-proxy")
    assert found.parameters == {"Prefix": "10.7", "BastionCount": "0"}
    assert cloud.template == template
    assert not pause.set_count(aws, found, 0)


def test_an_update_that_changes_nothing_is_no_error() -> None:
    cloud = with_stack()
    before = Stack("sm-proxy", cloud.id, "CREATE_COMPLETE", parameters={"Prefix": "10.0"})
    cloud.parameters = {"BastionCount": "1", "Prefix": "10.0"}
    assert not pause.set_count(cloud.aws(), before, 1)


@pytest.mark.parametrize(
    ("status", "code"), [("UPDATE_IN_PROGRESS", "busy"), ("ROLLBACK_COMPLETE", "stack-failed")]
)
def test_a_stack_that_is_not_whole_is_refused(status: str, code: str) -> None:
    with pytest.raises(SmProxyError) as caught:
        pause.refuse_unless_settled(Stack("a", "arn", status))
    assert caught.value.code == code
    pause.refuse_unless_settled(Stack("a", "arn", "UPDATE_ROLLBACK_COMPLETE"))


def test_an_operation_that_another_run_has_begun_is_named() -> None:
    words = "Stack:arn:s is in UPDATE_IN_PROGRESS state and can not be updated."
    busy = ServiceError("ValidationError", words, "cloudformation:UpdateStack")
    other = ServiceError("ValidationError", "no such thing", "cloudformation:DeleteStack")
    here = Stack("s", "arn:s", "CREATE_COMPLETE")
    calls: tuple[Callable[[FakeAws], object], ...] = (
        lambda aws: pause.set_count(aws, here, 0),
        lambda aws: deploy.update(aws, deploy.request(plan())),
        lambda aws: stacks.delete(aws, here),
    )
    for call in calls:
        for error, code in ((busy, "busy"), (other, "aws-error")):
            with pytest.raises(SmProxyError) as caught:
                call(FakeAws(UpdateStack=error, DeleteStack=error))
            assert caught.value.code == code
