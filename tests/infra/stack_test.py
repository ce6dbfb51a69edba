from __future__ import annotations

import json

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.infra import stack as stacks
from sm_proxy.infra.stack import Stack
from tests.fakes import FakeAws
from tests.infra.fake_cloudformation import OUTPUTS, TEMPLATE, refused, with_stack


def test_a_stack_has_its_outputs_parameters_and_tags() -> None:
    found = stacks.existing(with_stack(BastionCount="0").aws(), "sm-proxy")
    assert found.outputs == OUTPUTS
    assert found.parameters == {"Prefix": "10.0", "BastionCount": "0"}
    assert found.tags == {"sm-proxy:stack": "sm-proxy"}
    assert (found.usable, found.busy, found.failed, found.paused) == (True, False, False, True)


def test_a_stack_that_does_not_exist_is_no_stack() -> None:
    gone = FakeAws(DescribeStacks=refused("Stack with id x does not exist", "DescribeStacks"))
    assert stacks.find(gone, "x") is None
    with pytest.raises(SmProxyError, match="no stack x in eu-west-1") as caught:
        stacks.existing(gone, "x")
    assert caught.value.code == "no-stack"


def test_another_error_is_not_taken_for_a_missing_stack() -> None:
    broken = FakeAws(DescribeStacks=refused("Template error", "DescribeStacks"))
    with pytest.raises(SmProxyError, match="Template error"):
        stacks.find(broken, "x")


@pytest.mark.parametrize(
    ("status", "busy", "failed", "usable"),
    [
        ("CREATE_IN_PROGRESS", True, False, False),
        ("CREATE_COMPLETE", False, False, True),
        ("CREATE_FAILED", False, True, False),
        ("ROLLBACK_COMPLETE", False, True, False),
        ("UPDATE_COMPLETE", False, False, True),
        ("UPDATE_ROLLBACK_COMPLETE", False, True, True),
        ("UPDATE_ROLLBACK_FAILED", False, True, False),
        ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", True, False, False),
        ("DELETE_FAILED", False, True, False),
        ("DELETE_COMPLETE", False, False, False),
        ("REVIEW_IN_PROGRESS", False, False, False),
    ],
)
def test_each_status_has_its_meaning(
    status: str, *, busy: bool, failed: bool, usable: bool
) -> None:
    found = Stack("a", "arn", status)
    assert (found.busy, found.failed, found.usable) == (busy, failed, usable)


@pytest.mark.parametrize("name", ["", "-a", "1a", "a b", "a" * 129, "arn:aws:x", "a\x1b[31m"])
def test_a_name_that_no_stack_can_have_is_refused(name: str) -> None:
    with pytest.raises(SmProxyError, match="not a stack name") as caught:
        stacks.checked_name(name)
    assert caught.value.code == "usage"
    assert stacks.checked_name("Sm-proxy-2") == "Sm-proxy-2"


def test_the_template_is_read_as_text_or_parsed() -> None:
    for body in (json.dumps(TEMPLATE), TEMPLATE):
        aws = FakeAws(GetTemplate={"TemplateBody": body})
        assert stacks.template(aws, "sm-proxy") == TEMPLATE
    assert stacks.template(FakeAws(GetTemplate={"TemplateBody": "Resources: {}"}), "a") == {}


def test_a_stack_that_is_not_ours_is_refused() -> None:
    stranger = Stack("sm-proxy", "arn", "CREATE_COMPLETE")
    with pytest.raises(SmProxyError, match="has not made the stack") as caught:
        stacks.refuse_foreign(stranger, lambda: {"Resources": {}})
    assert caught.value.code == "in-use"
    stacks.refuse_foreign(stranger, lambda: TEMPLATE)
    stacks.refuse_foreign(Stack("a", "arn", "CREATE_COMPLETE", tags={stacks.TAG: "a"}), dict)


def test_an_output_that_is_missing_is_named() -> None:
    with pytest.raises(SmProxyError, match="has no output Subnets"):
        Stack("a", "arn", "ROLLBACK_COMPLETE").output("Subnets")


def test_text_of_a_stack_is_made_printable() -> None:
    cloud = with_stack()
    answer = cloud.aws().call("cloudformation", "DescribeStacks", StackName="sm-proxy")
    answer["Stacks"][0]["Outputs"] = [{"OutputKey": "Bastion", "OutputValue": "a\x9b31m\u202eb"}]
    found = stacks.existing(FakeAws(DescribeStacks=answer), "sm-proxy")
    assert found.outputs == {"Bastion": "a\N{REPLACEMENT CHARACTER}31m\N{REPLACEMENT CHARACTER}b"}
